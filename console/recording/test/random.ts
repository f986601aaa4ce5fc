/** A small generator of random numbers (mulberry32), so that a test that failed fails again. */
export class Random {
  constructor(private state: number) {}

  /** A whole number from 0, below limit. */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** Bytes that compress: words of a small language, some bytes of noise. */
  text(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const word = this.below(40);
      for (let i = 0; i < 3 + (word % 7) && at < length; i++) bytes[at++] = 97 + ((word * 7 + i * 5) % 26);
      if (at < length) bytes[at++] = this.below(30) === 0 ? this.below(256) : 32;
    }
    return bytes;
  }
}
