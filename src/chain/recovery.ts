import { secp256k1 } from '@noble/curves/secp256k1.js'
import { createHash, createPublicKey, ECDH, verify } from 'node:crypto'

const { Point } = secp256k1
const { Fn, Fp } = Point
type Point = InstanceType<typeof Point>

/** A signature of which its recovery id says which of four points its r comes from. */
export interface RecoverableSignature {
  /** The point, compressed, in hex; on the curve or not. */
  point: string
  r: bigint
  s: bigint
}

/** @param hex V, R and S, 65 bytes; null where no point can be meant, or r or s is out of range. High S is as good as low. */
export function readSignature(hex: string): RecoverableSignature | null {
  const id = parseInt(hex.slice(0, 2), 16)
  const [r, s] = [BigInt(`0x${hex.slice(2, 66)}`), BigInt(`0x${hex.slice(66)}`)]
  if (id > 3 || !Fn.isValidNot0(r) || !Fn.isValidNot0(s)) return null
  const x = (id & 2) === 0 ? r : r + Fn.ORDER
  if (!Fp.isValid(x)) return null
  return { point: (id & 1 ? '03' : '02') + x.toString(16).padStart(64, '0'), r, s }
}

/** What a known key is compared by. */
export interface Target {
  /** The x of the key moved by the secret, modulo the order of the curve, and the constant of all checks divided by it. */
  x: bigint
  shift: bigint
}

/** 32 bytes that are hashed natively for each check; any would do. */
const FIXED = Buffer.alloc(32)
const FIXED_HASH = Fn.create(BigInt(`0x${createHash('sha256').update(FIXED).digest('hex')}`))

/** An uncompressed key of secp256k1 as SubjectPublicKeyInfo, up to its 65 bytes. */
const SPKI = '3056301006072a8648ce3d020106052b8104000a034200'

/**
 * The recovery of keys, and a check that a known key would be recovered, most of which is done natively.
 *
 * A signature (R, s) of a hash e is by the key Q = (sR - eG) / r. A plain native verification with Q would not do: it does not
 * look at the recovery id, and with a wrong one the chain finds another key, and refuses what we have worked for.
 *
 * So the check turns it round. ECDSA with a key P, of a hash h, takes (x, t) when (hG + xP) / t has the x-coordinate x. With
 * t = xr/s and P = R + kG, k = (rc - e)/s - h/x, that point is (sR - eG) / r + cG: the key that would be recovered, moved by c.
 * With x of the known key moved by c, it is taken when both are the same. As x is also that of the negative point, c is a
 * secret: without it nobody can sign for the one other key, -Q - 2cG, that would be taken.
 */
export function createRecovery() {
  // Of its own, so that its table is; which is made now: at its first use it would hold up everything for some 50 ms.
  const base = Point.fromAffine(Point.BASE.toAffine()).precompute(8)
  const secret = Fn.fromBytes(secp256k1.utils.randomSecretKey())
  const offset = base.multiplyUnsafe(secret)

  return {
    /** The key, in steps of at most 1.5 ms; null where there is none. */
    *recover({ point, r, s }: RecoverableSignature, hash: bigint): Generator<void, Point | null> {
      const from = lift(point)
      if (from === null) return null
      const inverse = Fn.inv(r)
      yield
      const part = from.multiplyUnsafe(Fn.mul(s, inverse))
      yield
      const key = part.add(base.multiplyUnsafe(Fn.mul(Fn.neg(Fn.create(hash)), inverse)))
      yield
      return key.is0() ? null : key
    },

    /** What a key is compared by from now on. */
    target(key: Point): Target {
      const x = Fn.create(key.add(offset).toAffine().x)
      return { x, shift: Fn.mul(FIXED_HASH, Fn.inv(x)) }
    },

    /** Whether the key of a target would be recovered, for the thread pool to find out; null where none would. */
    prepare(
      { point, r, s }: RecoverableSignature,
      hash: bigint,
      { x, shift }: Target,
    ): (() => Promise<boolean>) | null {
      const from = lift(point)
      if (from === null) return null
      const inverse = Fn.inv(s)
      const k = Fn.sub(Fn.mul(Fn.sub(Fn.mul(r, secret), Fn.create(hash)), inverse), shift)
      const moved = from.add(base.multiplyUnsafe(k))
      if (moved.is0()) return null
      const key = createPublicKey({ format: 'der', type: 'spki', key: Buffer.from(SPKI + moved.toHex(false), 'hex') })
      const signature = Buffer.concat([Fn.toBytes(x), Fn.toBytes(Fn.mul(x, Fn.mul(r, inverse)))])
      return () =>
        new Promise((resolve, reject) => {
          verify('sha256', FIXED, { key, dsaEncoding: 'ieee-p1363' }, signature, (error, ok) => {
            if (error === null) resolve(ok)
            else reject(error)
          })
        })
    },
  }
}

/** null where it is no point of the curve. Its y is found natively, in a quarter of the time. */
function lift(point: string): Point | null {
  try {
    return Point.fromHex(ECDH.convertKey(point, 'secp256k1', 'hex', 'hex', 'uncompressed').toString())
  } catch {
    return null // the caller says what it means
  }
}
