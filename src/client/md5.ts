// MD5 (RFC 1321). Rails' protocol needs it, and browsers have no function for it.

const SHIFTS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21] as const
const SINES: Int32Array = Int32Array.from(
  { length: 64 },
  (_, index) => Math.floor(Math.abs(Math.sin(index + 1)) * 2 ** 32) | 0,
)
const BLOCK = 64

/** Hashes bytes in pieces. */
export interface Md5Hasher {
  update(bytes: Uint8Array): void
  /** Returns the digest in base64. */
  digest(): string
}

/** Creates an MD5 hasher. */
export function createMd5(): Md5Hasher {
  const state = Int32Array.of(0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476)
  const rest = new Uint8Array(BLOCK)
  let length = 0

  const update = (bytes: Uint8Array): void => {
    let at = 0
    const filled = length % BLOCK
    length += bytes.length
    if (filled > 0) {
      const taken = Math.min(BLOCK - filled, bytes.length)
      rest.set(bytes.subarray(0, taken), filled)
      at = taken
      if (filled + taken < BLOCK) return
      mix(state, new DataView(rest.buffer), 0)
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (; at + BLOCK <= bytes.length; at += BLOCK) mix(state, view, at)
    rest.set(bytes.subarray(at))
  }
  return {
    update,
    digest() {
      const bits = BigInt(length) * 8n
      const end = new Uint8Array(((119 - (length % BLOCK)) % BLOCK) + 9)
      end[0] = 0x80
      new DataView(end.buffer).setBigUint64(end.length - 8, bits, true)
      update(end)
      const out = new DataView(new ArrayBuffer(16))
      state.forEach((word, index) => out.setInt32(index * 4, word, true))
      return btoa(String.fromCharCode(...new Uint8Array(out.buffer)))
    },
  }
}

/** Adds one block of 64 bytes to the state. */
function mix(state: Int32Array, view: DataView, at: number): void {
  const words = block
  for (let index = 0; index < 16; index += 1) words[index] = view.getInt32(at + index * 4, true)
  let [a = 0, b = 0, c = 0, d = 0] = state
  for (let index = 0; index < 64; index += 1) {
    const round = index >> 4
    let f: number
    let word: number
    if (round === 0) {
      f = (b & c) | (~b & d)
      word = index
    } else if (round === 1) {
      f = (d & b) | (~d & c)
      word = (5 * index + 1) & 15
    } else if (round === 2) {
      f = b ^ c ^ d
      word = (3 * index + 5) & 15
    } else {
      f = c ^ (b | ~d)
      word = (7 * index) & 15
    }
    const sum = (a + f + (SINES[index] ?? 0) + (words[word] ?? 0)) | 0
    const shift = SHIFTS[round * 4 + (index & 3)] ?? 0
    a = d
    d = c
    c = b
    b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0
  }
  state[0] = ((state[0] ?? 0) + a) | 0
  state[1] = ((state[1] ?? 0) + b) | 0
  state[2] = ((state[2] ?? 0) + c) | 0
  state[3] = ((state[3] ?? 0) + d) | 0
}
const block: Int32Array = new Int32Array(16)
