// DEFLATE (RFC 1951) with a preset dictionary, for input that may be hostile. It differs from libraries in what a reader of recordings needs: the output
// is bounded before it is made, the stream must be whole, and nothing may stand after it.
import { type Bytes } from "./bytes.js";
import { ChangedError } from "./errors.js";

/** A prefix code: the symbol of a short code in one look-up, longer ones bit by bit. */
interface Code {
  /** By the next 9 bits: symbol << 4 | length, 0 where the code is longer or none. */
  fast: Uint16Array;
  /** How many codes there are of each length. */
  count: Uint16Array;
  /** Symbols in the order of their codes. */
  symbol: Uint16Array;
}

const fastBits = 9;
const maxBits = 15;
const endOfBlock = 256;

const lengthBase = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const lengthExtra = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const distanceBase = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const distanceExtra = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

function refuse(why: string): never {
  throw new ChangedError(`compressed data: ${why}`);
}

/** Builds the code of these lengths; lengths that give no complete code are refused, but for no code at all and for one code of one bit. */
function codeOf(lengths: Uint8Array): Code {
  const count = new Uint16Array(maxBits + 1);
  for (const length of lengths) count[length]!++;
  count[0] = 0;
  let left = 1;
  let codes = 0;
  for (let length = 1; length <= maxBits; length++) {
    left = left * 2 - count[length]!;
    codes += count[length]!;
    if (left < 0) refuse("too many codes");
  }
  if (left > 0 && codes > 0 && !(codes === 1 && count[1] === 1)) refuse("too few codes");
  return fill(lengths, count, codes);
}

function fill(lengths: Uint8Array, count: Uint16Array, codes: number): Code {
  const symbol = new Uint16Array(codes);
  const fast = new Uint16Array(1 << fastBits);
  const index = new Uint16Array(maxBits + 2);
  const next = new Uint16Array(maxBits + 2);
  for (let length = 1; length <= maxBits; length++) {
    index[length + 1] = index[length]! + count[length]!;
    next[length + 1] = (next[length]! + count[length]!) << 1;
  }
  for (let s = 0; s < lengths.length; s++) {
    const length = lengths[s]!;
    if (length === 0) continue;
    symbol[index[length]!++] = s;
    const code = next[length]!++;
    if (length > fastBits) continue;
    for (let at = reverse(code, length); at < fast.length; at += 1 << length) fast[at] = (s << 4) | length;
  }
  return { fast, count, symbol };
}

function reverse(code: number, length: number): number {
  let reversed = 0;
  for (let i = 0; i < length; i++) reversed |= ((code >> i) & 1) << (length - 1 - i);
  return reversed;
}

let fixedCodes: { literal: Code; distance: Code } | undefined;

function fixed(): { literal: Code; distance: Code } {
  if (!fixedCodes) {
    const lengths = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
    fixedCodes = { literal: codeOf(lengths), distance: codeOf(new Uint8Array(32).fill(5)) };
  }
  return fixedCodes;
}

class Inflater {
  private at = 0;
  private bits = 0;
  private held = 0;
  private length: number;
  private readonly window: Bytes;

  constructor(
    private readonly packed: Uint8Array,
    private readonly dictionary: Uint8Array,
    private readonly limit: number,
  ) {
    this.window = new Uint8Array(dictionary.length + limit);
    this.window.set(dictionary);
    this.length = dictionary.length;
  }

  run(): Bytes {
    for (let last = false; !last; ) {
      last = this.take(1) === 1;
      const type = this.take(2);
      if (type === 0) this.stored();
      else if (type === 1) this.block(fixed());
      else if (type === 2) this.block(this.dynamic());
      else refuse("unknown block");
    }
    if (this.at < this.packed.length) refuse("bytes after its end");
    return this.window.slice(this.dictionary.length, this.length);
  }

  private need(count: number): void {
    while (this.held < count) {
      if (this.at >= this.packed.length) refuse("it ends early");
      this.bits |= this.packed[this.at++]! << this.held;
      this.held += 8;
    }
  }

  private take(count: number): number {
    this.need(count);
    const value = this.bits & ((1 << count) - 1);
    this.bits >>>= count;
    this.held -= count;
    return value;
  }

  private stored(): void {
    this.bits = this.held = 0; // never a whole byte: need() takes no more than it must
    if (this.at + 4 > this.packed.length) refuse("it ends early");
    const length = this.packed[this.at]! | (this.packed[this.at + 1]! << 8);
    const check = this.packed[this.at + 2]! | (this.packed[this.at + 3]! << 8);
    this.at += 4;
    if ((length ^ check) !== 0xffff) refuse("a length that is not one");
    if (this.at + length > this.packed.length) refuse("it ends early");
    this.room(length);
    this.window.set(this.packed.subarray(this.at, this.at + length), this.length);
    this.at += length;
    this.length += length;
  }

  private room(more: number): void {
    if (this.length - this.dictionary.length + more > this.limit) refuse(`more than ${this.limit} bytes`);
  }

  private dynamic(): { literal: Code; distance: Code } {
    const literals = this.take(5) + 257;
    const distances = this.take(5) + 1;
    if (literals > 286 || distances > 30) refuse("unknown symbols");
    const order = new Uint8Array(19);
    for (let i = 0, n = this.take(4) + 4; i < n; i++) order[codeLengthOrder[i]!] = this.take(3);
    const lengths = this.lengths(codeOf(order), literals + distances);
    if (lengths[endOfBlock] === 0) refuse("a block without an end");
    return { literal: codeOf(lengths.subarray(0, literals)), distance: codeOf(lengths.subarray(literals)) };
  }

  private lengths(code: Code, total: number): Uint8Array {
    const lengths = new Uint8Array(total);
    for (let i = 0; i < total; ) {
      const symbol = this.symbol(code);
      if (symbol < 16) {
        lengths[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) refuse("a repetition of nothing");
      const value = symbol === 16 ? lengths[i - 1]! : 0;
      const times = symbol === 16 ? 3 + this.take(2) : symbol === 17 ? 3 + this.take(3) : 11 + this.take(7);
      if (i + times > total) refuse("too many code lengths");
      lengths.fill(value, i, i + times);
      i += times;
    }
    return lengths;
  }

  private symbol(code: Code): number {
    while (this.held < fastBits && this.at < this.packed.length) {
      const known = code.fast[this.bits & ((1 << fastBits) - 1)]!;
      if (known !== 0 && (known & 15) <= this.held) break; // takes no byte more than the code needs
      this.bits |= this.packed[this.at++]! << this.held;
      this.held += 8;
    }
    const known = code.fast[this.bits & ((1 << fastBits) - 1)]!;
    if (known === 0 || (known & 15) > this.held) return this.slowly(code);
    this.bits >>>= known & 15;
    this.held -= known & 15;
    return known >> 4;
  }

  private slowly(code: Code): number {
    for (let length = 1, value = 0, first = 0, index = 0; length <= maxBits; length++) {
      this.need(length);
      value |= (this.bits >> (length - 1)) & 1;
      const count = code.count[length]!;
      if (value - count < first) {
        this.take(length);
        return code.symbol[index + value - first]!;
      }
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    return refuse("unknown code");
  }

  private block({ literal, distance }: { literal: Code; distance: Code }): void {
    for (;;) {
      const symbol = this.symbol(literal);
      if (symbol === endOfBlock) return;
      if (symbol < endOfBlock) {
        this.room(1);
        this.window[this.length++] = symbol;
        continue;
      }
      this.copy(symbol - 257, distance);
    }
  }

  private copy(which: number, distances: Code): void {
    if (which >= lengthBase.length) refuse("unknown length");
    const length = lengthBase[which]! + this.take(lengthExtra[which]!);
    const symbol = this.symbol(distances);
    if (symbol >= distanceBase.length) refuse("unknown distance");
    const distance = distanceBase[symbol]! + this.take(distanceExtra[symbol]!);
    if (distance > this.length) refuse("a distance before its beginning");
    this.room(length);
    const end = this.length + length;
    if (distance >= length) this.window.copyWithin(this.length, this.length - distance, end - distance);
    else for (let i = this.length; i < end; i++) this.window[i] = this.window[i - distance]!;
    this.length = end;
  }
}

/**
 * Undoes DEFLATE. The whole of packed must be one stream that ends with it, and gives at most limit bytes.
 * @throws ChangedError for anything else.
 */
export function inflate(packed: Uint8Array, dictionary: Uint8Array, limit: number): Bytes {
  return new Inflater(packed, dictionary, limit).run();
}
