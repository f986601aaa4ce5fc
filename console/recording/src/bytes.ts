import { ChangedError, type RecordingError } from "./errors.js";

/** Bytes in memory of their own, as WebCrypto takes them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

export function join(...parts: Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  length = 0;
  for (const part of parts) {
    whole.set(part, length);
    length += part.length;
  }
  return whole;
}

export function u16(value: number): Bytes {
  return new Uint8Array([value >>> 8, value]);
}

export function u64(value: number | bigint): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Takes fields from the front of bytes; what is not there throws the error that refuse makes. */
export class Cursor {
  private at = 0;
  private readonly numbers: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly refuse: (why: string) => RecordingError = (why) => new ChangedError(why),
  ) {
    this.numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** A copy of the next bytes. */
  take(length: number, what: string): Bytes {
    const from = this.skip(length, what);
    return new Uint8Array(this.bytes.subarray(from, this.at));
  }

  /** The next bytes where they are. */
  view(length: number, what: string): Uint8Array {
    const from = this.skip(length, what);
    return this.bytes.subarray(from, this.at);
  }

  u8(what: string): number {
    return this.numbers.getUint8(this.skip(1, what));
  }

  u16(what: string): number {
    return this.numbers.getUint16(this.skip(2, what));
  }

  u32(what: string): number {
    return this.numbers.getUint32(this.skip(4, what));
  }

  u64(what: string): bigint {
    return this.numbers.getBigUint64(this.skip(8, what));
  }

  /** A number below 2^64 of 7 bits a byte, lowest first, in as few bytes as it takes. */
  uvarint(what: string): bigint {
    let low = 0; // of 49 bits, which a number holds exactly
    for (let i = 0, scale = 1; i < 7; i++, scale *= 128) {
      const byte = this.u8(what);
      low += (byte & 127) * scale;
      if (byte >= 128) continue;
      if (byte === 0 && i > 0) throw this.refuse(`${what}: longer than it must be`);
      return BigInt(low);
    }
    return this.uvarintEnd(BigInt(low), what);
  }

  private uvarintEnd(low: bigint, what: string): bigint {
    let value = low;
    for (let shift = 49n; shift < 64n; shift += 7n) {
      const byte = this.u8(what);
      value |= BigInt(byte & 127) << shift;
      if (byte >= 128) continue;
      if (byte === 0) throw this.refuse(`${what}: longer than it must be`);
      if (value >= 1n << 64n) break;
      return value;
    }
    throw this.refuse(`${what}: too large`);
  }

  end(what: string): void {
    if (this.left > 0) throw this.refuse(`${what}: ${this.left} bytes too many`);
  }

  private skip(length: number, what: string): number {
    if (length > this.left) throw this.refuse(`${what}: it ends early`);
    const from = this.at;
    this.at += length;
    return from;
  }
}
