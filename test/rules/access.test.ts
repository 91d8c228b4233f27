import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { accessTable, actions, may, type Action, type Reach } from '../../src/rules/access.js'
import { NOBODY, OPEN, principal } from '../../src/rules/principal.js'
import { roles, type Role } from '../../src/rules/roles.js'

const open = { anonymousSubmit: true, publicStats: true }
const closed = { anonymousSubmit: false, publicStats: false }

/** How the table is printed: a dash is a no. */
const words: Record<Reach, string> = {
  all: 'x',
  own: 'own',
  anonymous: 'anonymous',
  published: 'published',
  noTexts: 'no texts',
  scoped: 'scope texts',
  noKeys: 'no keys',
}

function matrix(): string {
  const rows = [
    ['', ...roles],
    ...actions.map((action) => [
      action,
      ...roles.map((role) => {
        const reach = accessTable[action][role]
        return reach === undefined ? '-' : words[reach]
      }),
    ]),
  ]
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

test('who may do what is this table, and nothing else', () => {
  expect(matrix()).toMatchInlineSnapshot(`
    "                    public     metrics  viewer    user     node     operator     admin
    health              x          x        x         x        x        x            x
    documents           x          x        x         x        x        x            x
    connect             x          x        x         x        x        x            x
    signIn              x          x        x         x        x        x            x
    encryptionKey       x          x        x         x        x        x            x
    stats               published  x        x         x        x        x            x
    metrics             -          x        x         -        -        x            x
    alerts              -          -        x         -        -        x            x
    nodes               -          -        no keys   no keys  no keys  x            x
    submit              anonymous  -        -         own      -        -            x
    taskSession         anonymous  -        -         own      -        -            x
    openai              anonymous  -        -         own      -        -            x
    task                -          -        no texts  own      -        scope texts  x
    taskDetail          -          -        no texts  own      -        scope texts  x
    watch               -          -        no texts  own      -        scope texts  x
    taskEvents          anonymous  -        -         own      -        -            x
    receipt             anonymous  -        -         own      -        x            x
    cancel              -          -        -         own      -        x            x
    retry               -          -        -         own      -        x            x
    list                -          -        no texts  own      -        scope texts  x
    settlements         -          -        -         -        -        x            x
    taskOfTx            x          x        x         x        x        x            x
    settlementRetry     -          -        -         -        -        x            x
    callbacks           -          -        -         -        -        scope texts  x
    callbackRetry       -          -        -         own      -        scope texts  x
    delegations.add     x          x        x         x        x        x            x
    delegations.list    -          -        -         -        -        x            x
    delegations.revoke  -          -        -         -        -        x            x
    models              -          -        x         x        -        x            x
    overview            -          -        no texts  -        -        x            x
    events              -          -        no texts  -        -        x            x
    configuration       -          -        -         -        -        x            x
    register            -          -        -         -        own      -            -
    heartbeat           -          -        -         -        own      -            -
    poll                -          -        -         -        own      -            -
    complete            -          -        -         -        own      -            -
    fail                -          -        -         -        own      -            -
    nodeSession         -          -        -         -        own      -            -
    drain               -          -        -         -        own      x            x
    resume              -          -        -         -        own      x            x
    forget              -          -        -         -        -        -            x
    nodes.invite        -          -        -         -        -        x            x
    nodes.allow         -          -        -         -        -        x            x
    nodes.ban           -          -        -         -        -        x            x
    nodes.rekey         -          -        -         -        -        x            x
    tokens.create       -          -        -         -        -        -            x
    tokens.list         -          -        -         -        -        -            x
    tokens.revoke       -          -        -         -        -        -            x
    tokens.rotate       -          -        -         -        -        -            x
    audit.list          -          -        -         -        -        -            x
    backup              -          -        -         -        -        -            x"
  `)
})

const someone = (role: Role) => principal({ role })

describe('every role and every action', () => {
  const anyRole = fc.constantFrom(...roles)
  const anyAction = fc.constantFrom<Action>(...actions)

  test('is allowed just what the table names, and a setting opens no more than the cells that name it', () => {
    fc.assert(
      fc.property(anyRole, anyAction, (role, action) => {
        const reach = accessTable[action][role]
        expect(may(someone(role), action, open) !== null).toBe(reach !== undefined)
        const bySetting = reach === 'anonymous' || reach === 'published'
        expect(may(someone(role), action, closed) !== null).toBe(reach !== undefined && !bySetting)
      }),
    )
  })

  test('an admin may do everything but what nodes do', () => {
    const denied = actions.filter((action) => may(someone('admin'), action, closed) === null)
    expect(denied).toEqual(['register', 'heartbeat', 'poll', 'complete', 'fail', 'nodeSession'])
  })

  test('who shows nothing changes nothing but by a signature, unless anonymous submissions are on', () => {
    const harmless = ['health', 'documents', 'connect', 'signIn', 'encryptionKey']
    const signedOrOnTheChain = ['taskOfTx', 'delegations.add']
    expect(actions.filter((a) => may(NOBODY, a, closed) !== null)).toEqual([...harmless, ...signedOrOnTheChain])
    expect(actions.filter((a) => may(NOBODY, a, open) !== null)).toEqual([
      ...harmless,
      'stats',
      'submit',
      'taskSession',
      'openai',
      'taskEvents',
      'receipt',
      ...signedOrOnTheChain,
    ])
  })

  test('only an operator with the scope reads texts, and an onlooker reads none and nobody', () => {
    expect(may(principal({ role: 'operator' }), 'taskDetail', closed)).toMatchObject({ texts: false, submitter: true })
    expect(may(principal({ role: 'operator', scopes: ['texts'] }), 'taskDetail', closed)).toMatchObject({ texts: true })
    // A scope of another role gives it nothing.
    expect(may(principal({ role: 'viewer', scopes: ['texts'] }), 'taskDetail', closed)).toMatchObject({
      own: false,
      texts: false,
      submitter: false,
    })
  })

  test('a service that is open asks nobody', () => {
    for (const action of actions)
      expect(may(OPEN, action, closed)).toEqual({ own: false, texts: true, submitter: true, keys: true })
  })
})
