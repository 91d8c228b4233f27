import { expect, test } from 'vitest'
import { createFailures } from '../../src/door/failures.js'
import { createRefusedTally } from '../../src/door/refused-calls.js'
import { createSignIn } from '../../src/door/sign-in.js'
import { createTokenDirectory } from '../../src/door/token-directory.js'
import { createVerifications } from '../../src/door/verifications.js'
import { done } from '../../src/lib/result.js'
import { identity } from '../support/identity.js'
import { addressOfWallet, signMessage } from '../support/signatures.js'
import { deferred } from '../support/wait.js'

test('ten failures a minute are answered, more are too many for five minutes, and then it begins anew', () => {
  let now = 0
  const failures = createFailures(() => now)
  const count = (n: number) => Array.from({ length: n }, () => failures.count('a'))
  expect(count(10).every((c) => c === null)).toBe(true)
  now = 59_000
  expect(count(3)).toEqual(['first', 'more', 'more'])
  expect(failures.count('b')).toBeNull()
  now = 358_000
  expect(count(1)).toEqual(['more'])
  now = 360_000
  expect(count(11)).toEqual([...Array<null>(10).fill(null), 'first'])
  // A failure now and then is never too much.
  for (let i = 0; i < 100; i++) {
    now += 7000
    expect(failures.count('c')).toBeNull()
  }
})

test('of each address 16 signatures are verified at once, of all 64; one that is done makes room', async () => {
  const verify = createVerifications()
  const wait = deferred()
  const slow = async () => {
    await wait.promise
    return done(1)
  }
  const keys = (name: string) => [{ key: name, times: 1 }]
  const running = ['a', 'b', 'c', 'd'].flatMap((name) => Array.from({ length: 16 }, () => verify(keys(name), slow)))
  expect(await verify(keys('a'), slow)).toMatchObject({ code: 'rate_limited' })
  expect(await verify(keys('e'), slow)).toMatchObject({ code: 'unavailable' })
  wait.resolve()
  expect((await Promise.all(running)).every((o) => o.ok)).toBe(true)
  expect(await verify(keys('a'), slow)).toEqual(done(1))
})

test('what was refused is told once, the hundred addresses with most failures by name', () => {
  const tally = createRefusedTally()
  expect(tally.take()).toBeNull()
  for (let i = 0; i < 150; i++) for (let n = 0; n <= i; n++) tally.failed(`a${i}`)
  tally.answered('unauthorized')
  tally.answered('not_found')
  tally.answered('internal')
  const told = tally.take()
  expect(told).toMatchObject({ unauthorized: 1, forbidden: 0, failures: 1 })
  expect(told?.addresses).toHaveLength(100)
  expect(told?.addresses[0]).toEqual({ address: 'a149', count: 150 })
  expect(tally.take()).toBeNull()
})

test('a challenge is for who has asked for it: others push none of his out, and do not answer it; it ends after five minutes', async () => {
  let wall = 1_700_000_000_000
  const tokens = createTokenDirectory(() => wall / 1000)
  const signIn = createSignIn({ network: 'testnet', tokens, wall: () => wall })
  const wallet = identity('wallet')
  const address = addressOfWallet(wallet)
  const ask = (asker: string) => {
    const challenge = signIn.challenge(address, 'pool.example.org', asker)
    if (!challenge.ok) throw new Error(challenge.message)
    return challenge.value.message
  }
  const answer = (message: string, asker: string) =>
    signIn.answer({ address, public_key: wallet.publicKey, signature: signMessage(wallet, message) }, asker)
  const mine = ask('me')
  for (let i = 0; i < 100; i++) ask('somebody')
  expect((await answer(mine, 'somebody')).ok).toBe(false)
  const token = await answer(mine, 'me')
  if (!token.ok) throw new Error(token.message)
  expect(tokens.find(token.value.token)).toMatchObject({ principal: { owners: [address], wallet: true } })
  wall += 3_601_000
  expect(tokens.find(token.value.token)).toMatchObject({ ok: false })
  const late = ask('me')
  wall += 300_000
  expect((await answer(late, 'me')).ok).toBe(false)
})
