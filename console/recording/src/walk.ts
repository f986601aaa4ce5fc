// The way through a recording, frame by frame, with a key or without: what reader and verifier have in common.
import { type Bytes, Cursor, equal, join, u64, utf8 } from "./bytes.js";
import { aesKey, hkdf, open, sha256, signedBy } from "./crypto.js";
import { type Entry, parseEntries, type Place } from "./entry.js";
import { ChangedError, CutError, WrongKeyError } from "./errors.js";
import { type Header } from "./header.js";
import { inflate } from "./inflate.js";
import { type PrivateKey } from "./keys.js";
import { type Pull } from "./source.js";

const prefixSize = 5;
const minPlain = 4;
const maxPlain = 65_503;
const nonceSize = 12;
const tagSize = 16;
const maxFrames = 2 ** 32;
const maxSegments = 65_536;
const dictionarySize = 8192;
const signatureSize = 64;

const flagLast = 1;
const flagOpens = 2;
const flagCompressed = 4;

/** How a recording ended. */
export interface End {
  /** done, stopped, shutdown or failed; later writers may know others. */
  reason: string;
  /** Microseconds since the session's start. */
  at: number;
}

/** Where reading begins: before the frame with this number, which stands at this byte, and up to which the chain is this. */
export interface Beginning extends Place {
  chain: Bytes;
}

/** Opens the file key and derives the key of the frames. @throws WrongKeyError, ChangedError */
export async function frameKey(header: Header, key: PrivateKey): Promise<CryptoKey> {
  const slot = header.slots.find((one) => one.id === key.id);
  if (!slot) {
    const recipients = header.slots.map((one) => one.id);
    throw new WrongKeyError(`this recording is not sealed to ${key.id}; it opens with ${recipients.join(" or ")}`, recipients);
  }
  if (slot.kem !== key.kem) throw new ChangedError("header: the key's place is of another kind of key");
  const info = join(utf8("sekisho-recording-v2\0"), new Uint8Array([slot.kem >>> 8, slot.kem]), utf8(header.session));
  let fileKey: Bytes;
  try {
    fileKey = Uint8Array.from(await key.open(slot.enc, info, slot.sealed));
  } catch {
    throw new ChangedError("header: the file key does not open");
  }
  if (fileKey.length !== 32 || !equal(await hkdf(fileKey, "sekisho-recording-v2 commitment"), header.commitment)) {
    throw new ChangedError("header: the file key is not the one that the header commits to");
  }
  return aesKey(await hkdf(fileKey, "sekisho-recording-v2 frames"));
}

interface Frame {
  flags: number;
  /** As it stands in the recording. */
  whole: Bytes;
  place: Place;
}

/** Nanoseconds since 1970 of an RFC 3339 time; undefined for others. */
function nanoseconds(time: unknown): bigint | undefined {
  const parts = typeof time === "string" ? /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(time) : null;
  const whole = parts ? Date.parse(`${parts[1]}${parts[3]}`) : NaN;
  return Number.isNaN(whole) ? undefined : BigInt(whole) * 1_000_000n + BigInt((parts?.[2] ?? "").padEnd(9, "0"));
}

export class Walk {
  /** Number of the next frame, so many are whole. */
  frame: number;
  /** Number of the segment in which the walk is; one less than its first before that. */
  segment: number;
  /** Bytes that are whole. */
  offset: number;
  /** h(frame). */
  chain: Bytes;
  /** Entries but for session and end, since the walk began, and bytes of their data. */
  entries = 0;
  bytes = 0;
  /** Time of the last entry, in microseconds. */
  at = 0n;
  /** Known with a key only, and good once complete. */
  end: End | undefined;
  /** The signed end was there, and nothing after it. */
  complete = false;
  /** What stands in the first frame; known with a key only. */
  session: unknown;

  private readonly fromStart: boolean;
  private first = true;
  private dictionary: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly pull: Pull,
    readonly header: Header,
    private readonly key: CryptoKey | undefined,
    beginning?: Beginning,
  ) {
    const { frame, segment, offset, chain } = beginning ?? { frame: 0, segment: 0, offset: header.size, chain: header.hash };
    this.frame = frame;
    this.segment = segment - 1;
    this.offset = offset;
    this.chain = chain;
    this.fromStart = frame === 0;
  }

  /**
   * Takes the next frame and gives its entries, none without a key; undefined once the recording has ended as it must.
   * @throws CutError, ChangedError
   */
  async step(): Promise<Entry[] | undefined> {
    if (this.complete) return undefined;
    const frame = await this.take();
    const entries = this.key ? await this.open(frame, this.key) : [];
    this.chain = await sha256(join(this.chain, frame.whole));
    this.frame++;
    this.offset += frame.whole.length;
    this.segment = frame.place.segment;
    this.first = false;
    if (frame.flags & flagLast) await this.finish();
    return entries;
  }

  private async take(): Promise<Frame> {
    const prefix = await this.pull.take(prefixSize);
    if (prefix.length < prefixSize) throw this.cut();
    const fields = new Cursor(prefix);
    const length = fields.u32("length");
    const flags = fields.u8("flags");
    const overhead = tagSize + (this.header.randomNonces ? nonceSize : 0);
    if (length < minPlain + overhead || length > maxPlain + overhead) throw this.changed("a length that none has");
    if (this.frame >= maxFrames) throw this.changed("there are too many");
    this.checkFlags(flags);
    const segment = flags & flagOpens ? this.segment + 1 : this.segment;
    if (segment >= maxSegments) throw this.changed("there are too many segments");
    const sealed = await this.pull.take(length);
    if (sealed.length < length) throw this.cut();
    return { flags, whole: join(prefix, sealed), place: { frame: this.frame, segment, offset: this.offset } };
  }

  private checkFlags(flags: number): void {
    const last = (flags & flagLast) !== 0;
    if (flags > (flagLast | flagOpens | flagCompressed)) throw this.changed("flags that this reader does not know");
    if (last && flags & flagCompressed) throw this.changed("the last one is compressed");
    if (this.first && !(flags & flagOpens)) throw this.changed("it does not open a segment");
    if (this.frame === 0 && last) throw this.changed("the first one is the last");
  }

  private async open(frame: Frame, key: CryptoKey): Promise<Entry[]> {
    const number = u64(this.frame);
    const sealed = frame.whole.subarray(prefixSize);
    const given = this.header.randomNonces ? nonceSize : 0;
    const nonce = given ? sealed.slice(0, given) : join(new Uint8Array(4), number);
    const aad = join(this.header.hash, number, new Uint8Array([frame.flags]), this.chain);
    const plain = await open(key, nonce, sealed.subarray(given), aad);
    if (!plain) throw this.changed("it does not open: changed, moved or of another recording");
    const unfolded = this.unfold(frame.flags, plain);
    const { entries, last } = parseEntries(unfolded, this.at, frame.place);
    this.check(entries, frame.flags);
    if (!(frame.flags & flagLast)) this.at = last; // the end counts when it is signed
    this.keep(unfolded, frame.flags);
    return entries;
  }

  private unfold(flags: number, plain: Bytes): Bytes {
    if (!(flags & flagCompressed)) return plain;
    try {
      return inflate(plain, flags & flagOpens ? new Uint8Array(0) : this.dictionary, maxPlain);
    } catch (error) {
      throw error instanceof ChangedError ? this.changed(error.message) : error;
    }
  }

  /** Remembers what later frames of the segment may refer to. */
  private keep(unfolded: Uint8Array, flags: number): void {
    const before = flags & flagOpens ? new Uint8Array(0) : this.dictionary;
    const joined = unfolded.length >= dictionarySize ? unfolded : join(before, unfolded);
    this.dictionary = joined.slice(Math.max(0, joined.length - dictionarySize));
  }

  private check(entries: Entry[], flags: number): void {
    const [entry, ...more] = entries;
    if (!entry) throw this.changed("it holds no entry");
    if (this.frame === 0 || flags & flagLast) {
      if (more.length > 0) throw this.changed("it holds more than one entry");
      if (this.frame === 0) this.begin(entry);
      else this.close(entry);
      return;
    }
    for (const one of entries) {
      if (one.kind === "session" || one.kind === "end") throw this.changed(`the entry ${one.kind} in the middle`);
      this.entries++;
      this.bytes += one.data.length;
    }
  }

  private begin(entry: Entry): void {
    if (entry.kind !== "session" || entry.at !== 0 || entry.channel !== 0) throw this.changed("it is not the session's description");
    this.session = this.describe(entry.data);
  }

  private describe(data: Uint8Array): unknown {
    let session: unknown;
    try {
      session = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
    } catch {
      throw this.changed("the session's description is not JSON");
    }
    const { id, started } = (session ?? {}) as { id?: unknown; started?: unknown };
    if (id !== this.header.session || nanoseconds(started) !== this.header.started) throw this.changed("the description is of another session");
    return session;
  }

  private close(entry: Entry): void {
    if (entry.kind !== "end" || entry.channel !== 0) throw this.changed("the last one is not the end");
    const data = new Cursor(entry.data, (why) => this.changed(`end: ${why}`));
    const [frames, entries, bytes] = [data.u64("frames"), data.u64("entries"), data.u64("bytes")];
    const reason = new TextDecoder().decode(data.view(data.u32("reason"), "reason"));
    data.end("reason");
    if (reason === "") throw this.changed("end: no reason");
    if (frames !== BigInt(this.frame)) throw this.changed("end: the number of frames is another");
    if (this.fromStart && (entries !== BigInt(this.entries) || bytes !== BigInt(this.bytes))) throw this.changed("end: the totals are others");
    this.end = { reason, at: entry.at };
  }

  private async finish(): Promise<void> {
    const signature = await this.pull.take(signatureSize);
    if (signature.length < signatureSize) throw this.cut();
    if (!(await signedBy(this.header.signer, signature, join(utf8("sekisho-recording-end-v2\0"), this.chain)))) {
      throw new ChangedError("the end is not signed by the signer");
    }
    this.offset += signatureSize;
    if (await this.pull.more()) throw new ChangedError("bytes after the end");
    if (this.end) this.at = BigInt(this.end.at);
    this.complete = true;
  }

  private changed(why: string): ChangedError {
    return new ChangedError(`frame ${this.frame}: ${why}`);
  }

  private cut(): CutError {
    return new CutError(`the recording stops after ${this.frame} frames, without its end`, this.frame);
  }
}
