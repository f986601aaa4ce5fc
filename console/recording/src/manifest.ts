import { MalformedError } from "./errors.js";

/** The most bytes that a manifest takes. */
export const maxManifest = 25_165_824;
const maxSegments = 65_536;

/** What a manifest says about a segment that has ended. */
export interface Segment {
  /** Counts segments from 0. */
  index: number;
  /** Of its first byte in the recording; the first segment begins with the header. */
  offset: number;
  bytes: number;
  /** Number of its first frame. */
  frame: number;
  frames: number;
  /** In hex, before its first frame. */
  chain: string;
  /** Times of its first and last entry, in microseconds. */
  first: number;
  last: number;
}

/** The index of a recording. It is not signed: a recording proves whether it is right. */
export interface Manifest {
  session: string;
  /** Hex of the header's SHA-256. */
  header: string;
  state: "open" | "closed" | "interrupted";
  /** In hex, where the recording ends; not for one that is open. */
  chain?: string;
  segments: Segment[];
}

/**
 * Reads a manifest. There is one text for each, and others are refused.
 * @throws MalformedError
 */
export function parseManifest(text: string): Manifest {
  const refused = new MalformedError("this is not a manifest");
  if (text.length > maxManifest) throw refused;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw refused;
  }
  const manifest = read(parsed);
  if (!manifest || encode(manifest) !== text) throw refused;
  return manifest;
}

/** The segment in which that time (in microseconds) is: the last that begins by then. */
export function segmentAt(manifest: Manifest, at: number): Segment | undefined {
  return manifest.segments.filter(({ first }) => first <= at).at(-1) ?? manifest.segments[0];
}

function read(parsed: unknown): Manifest | undefined {
  if (!isObject(parsed) || parsed["format"] !== 2 || !Array.isArray(parsed["segments"])) return undefined;
  const { session, header, state, chain } = parsed;
  if (typeof session !== "string" || !/^[a-z0-9_]{1,64}$/.test(session) || !isHash(header)) return undefined;
  if (state !== "open" && state !== "closed" && state !== "interrupted") return undefined;
  const segments = readSegments(parsed["segments"], header);
  if (!segments || (state === "closed" && segments.length === 0)) return undefined;
  if (state === "open") return chain === undefined ? { session, header, state, segments } : undefined;
  return isHash(chain) ? { session, header, state, chain, segments } : undefined;
}

function readSegments(list: unknown[], header: string): Segment[] | undefined {
  if (list.length > maxSegments) return undefined;
  const segments: Segment[] = [];
  let [offset, frame, last] = [0, 0, 0];
  for (const [index, one] of list.entries()) {
    const segment = readSegment(one);
    if (!segment || segment.index !== index || segment.offset !== offset || segment.frame !== frame || segment.first < last) return undefined;
    if (index === 0 && segment.chain !== header) return undefined;
    segments.push(segment);
    offset += segment.bytes;
    frame += segment.frames;
    last = segment.last;
  }
  return segments;
}

function readSegment(one: unknown): Segment | undefined {
  if (!isObject(one)) return undefined;
  const { index, offset, bytes, frame, frames, chain, first, last } = one;
  if (!isCount(index) || !isCount(offset) || !isCount(bytes) || !isCount(frame) || !isCount(frames) || !isCount(first) || !isCount(last)) return undefined;
  if (!isHash(chain) || bytes < 1 || frames < 1 || last < first) return undefined;
  return { index, offset, bytes, frame, frames, chain, first, last };
}

function encode(manifest: Manifest): string {
  const { session, header, state, chain, segments } = manifest;
  return `${JSON.stringify({ format: 2, session, header, state, ...(chain === undefined ? {} : { chain }), segments })}\n`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}
