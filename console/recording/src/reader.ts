import { type Bytes, equal, hex } from "./bytes.js";
import { type Entry } from "./entry.js";
import { ChangedError, CutError, UntrustedError } from "./errors.js";
import { type Header, readHeader } from "./header.js";
import { parsePrivateKey, type PrivateKey } from "./keys.js";
import { Pull, type Source } from "./source.js";
import { type Beginning, type End, frameKey, Walk } from "./walk.js";

export interface OpenOptions {
  /** The gateways' recording keys, 32 bytes each; "any" leaves it open whose recording this is. */
  signers: readonly Uint8Array[] | "any";
  /** The chain in hex that the audit log has for the closed recording. It is compared at the end. */
  chain?: string;
  /** The ID of the session that the recording should be of. */
  session?: string;
}

/** Where a segment begins, as the recording's manifest says. If a fact is wrong, no frame opens. */
export interface SegmentStart {
  index: number;
  offset: number;
  frame: number;
  /** In hex. */
  chain: string;
}

/**
 * A recording that is being read: its entries one after the other, once. What came out was sealed by the recording's maker. The iteration ends without an error only
 * after the signed end; CutError comes after the last whole frame of a recording that has none.
 */
export class Recording implements AsyncIterable<Entry> {
  /** Use openRecording or openSegment. */
  constructor(
    readonly header: Header,
    private readonly walk: Walk,
    private readonly pull: Pull,
    private readonly chain: string | undefined,
    private readonly trouble?: unknown,
  ) {}

  /** The session's description, which stands in the first frame; undefined for a recording that is cut before, or read from the middle. */
  get session(): unknown {
    return this.walk.session;
  }

  /** How the recording ended; known once the iteration has ended without an error. */
  get end(): End | undefined {
    return this.walk.complete ? this.walk.end : undefined;
  }

  /** How far it was read and is whole: frames, segments, bytes, and the chain up to there in hex. */
  get extent(): { frames: number; segments: number; bytes: number; chain: string } {
    const { frame, segment, offset, chain } = this.walk;
    return { frames: frame, segments: segment + 1, bytes: offset, chain: hex(chain) };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Entry, void, undefined> {
    try {
      if (this.trouble !== undefined) throw this.trouble;
      for (;;) {
        const entries = await this.walk.step();
        if (!entries) break;
        for (const entry of entries) if (entry.kind !== "session" && entry.kind !== "end") yield entry;
      }
      checkChain(this.walk.chain, this.chain);
    } finally {
      await this.pull.close();
    }
  }
}

/**
 * Opens a recording from its beginning.
 * @param key a private key, or its line
 * @throws RecordingError, and whatever the source throws
 */
export async function openRecording(source: Source, key: PrivateKey | string, options: OpenOptions): Promise<Recording> {
  const pull = new Pull(source);
  try {
    const header = await readHeader(pull);
    const walk = new Walk(pull, header, await opened(header, key, options));
    return new Recording(header, walk, pull, options.chain, await begin(walk));
  } catch (error) {
    await pull.close();
    throw error;
  }
}

/** Reads the first frame; a recording that is cut before its end gives the error for later. */
async function begin(walk: Walk): Promise<CutError | undefined> {
  try {
    await walk.step();
    return undefined;
  } catch (error) {
    if (error instanceof CutError) return error;
    throw error;
  }
}

/**
 * Opens a recording in the middle: source begins with the segment, and may go on with those after it.
 * @param header by parseHeader or openRecording
 * @throws RecordingError, and whatever the source throws
 */
export async function openSegment(source: Source, header: Header, start: SegmentStart, key: PrivateKey | string, options: OpenOptions): Promise<Recording> {
  const first = beginning(start);
  const frames = await opened(header, key, options);
  const pull = new Pull(source);
  return new Recording(header, new Walk(pull, header, frames, first), pull, options.chain);
}

function beginning({ index, offset, frame, chain }: SegmentStart): Beginning {
  const whole = [index, offset, frame].every((number) => Number.isSafeInteger(number) && number >= 0);
  if (!whole || !/^[0-9a-f]{64}$/.test(chain)) throw new ChangedError("the facts about the segment are none");
  const bytes = Uint8Array.from(chain.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return { segment: index, offset, frame, chain: bytes };
}

async function opened(header: Header, key: PrivateKey | string, options: OpenOptions): Promise<CryptoKey> {
  checkTrust(header, options.signers);
  checkSession(header, options.session);
  return frameKey(header, typeof key === "string" ? await parsePrivateKey(key) : key);
}

export function checkTrust(header: Header, signers: readonly Uint8Array[] | "any"): void {
  if (signers === "any" || signers.some((signer) => equal(signer, header.signer))) return;
  throw new UntrustedError("the recording is signed, but not by a gateway that is trusted", header.signer);
}

export function checkSession(header: Header, session: string | undefined): void {
  if (session !== undefined && session !== header.session) throw new ChangedError(`this is the recording of ${header.session}, not of ${session}`);
}

export function checkChain(chain: Bytes, wanted: string | undefined): void {
  if (wanted !== undefined && wanted.toLowerCase() !== hex(chain)) throw new ChangedError("this is not the recording that the audit log tells of: its chain is another");
}
