import { type Bytes } from "./bytes.js";

/** The bytes of a recording, from its beginning or, for a reader that starts in the middle, from there. They are taken as they are needed. */
export type Source = Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/** Takes pieces of the length that is asked for out of a source; holds the rest of one piece of the source, and what was asked for. */
export class Pull {
  private readonly pieces: AsyncIterator<Uint8Array>;
  private piece: Uint8Array = new Uint8Array(0);

  constructor(source: Source) {
    this.pieces = iterate(source);
  }

  /** The next bytes: as many as asked for, fewer only where the source ends. */
  async take(length: number): Promise<Bytes> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length && (await this.more())) {
      const part = this.piece.subarray(0, length - filled);
      bytes.set(part, filled);
      filled += part.length;
      this.piece = this.piece.subarray(part.length);
    }
    return filled < length ? bytes.slice(0, filled) : bytes;
  }

  /** Whether there is another byte; waits for it. */
  async more(): Promise<boolean> {
    while (this.piece.length === 0) {
      const next = await this.pieces.next();
      if (next.done) return false;
      this.piece = next.value;
    }
    return true;
  }

  /** Lets the source go before its end. */
  async close(): Promise<void> {
    await this.pieces.return?.();
  }
}

function iterate(source: Source): AsyncIterator<Uint8Array> {
  if (source instanceof Uint8Array) return one(source);
  if ("getReader" in source) return stream(source);
  return source[Symbol.asyncIterator]();
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

// Not every browser iterates over a ReadableStream.
async function* stream(source: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = source.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
