import { Cursor } from "./bytes.js";
import { ChangedError, VersionError } from "./errors.js";

/** Kinds of entries by their numbers. */
export const kinds = {
  1: "session",
  2: "end",
  16: "output",
  17: "stderr",
  18: "input",
  19: "typed",
  32: "channel-open",
  33: "pty",
  34: "env",
  35: "shell",
  36: "exec",
  37: "subsystem",
  38: "resize",
  39: "signal",
  40: "eof",
  41: "exit-status",
  42: "exit-signal",
  43: "channel-close",
  44: "note",
  45: "file",
  46: "forward",
  47: "lost",
} as const;

export type KindNumber = keyof typeof kinds;
export type Kind = (typeof kinds)[KindNumber];

/** Where a frame stands in its recording. */
export interface Place {
  /** Counts frames from 0. */
  frame: number;
  /** Counts segments from 0. */
  segment: number;
  /** Of the frame's first byte. */
  offset: number;
}

/** One thing that happened in a session. */
export interface Entry {
  kind: Kind;
  /** Microseconds since the session's start; exact for 285 years. */
  at: number;
  /** Of the SSH connection; 0 for what concerns the whole. */
  channel: number;
  /** What they hold depends on the kind: FORMAT.md has the table. */
  data: Uint8Array;
  /** The frame in which it stands. */
  place: Place;
}

const latest = (2n ** 63n - 1n) / 1000n;

/** Reads the entries of a frame; before is the time of the entry before, in microseconds. Gives the time of the last one, too. */
export function parseEntries(plain: Uint8Array, before: bigint, place: Place): { entries: Entry[]; last: bigint } {
  const cursor = new Cursor(plain, (why) => new ChangedError(`frame ${place.frame}: entry: ${why}`));
  const entries: Entry[] = [];
  let at = 0n; // the first time of a frame is since the start
  while (cursor.left > 0) {
    const kind = kinds[cursor.u8("kind") as KindNumber] as Kind | undefined;
    if (!kind) throw new VersionError(`frame ${place.frame}: an entry of a kind that this reader does not know: a newer version made it`);
    at += cursor.uvarint("time");
    if (at < before || at > latest) throw new ChangedError(`frame ${place.frame}: entry: a time that cannot be`);
    before = at;
    const channel = cursor.uvarint("channel");
    if (channel >= 1n << 32n) throw new ChangedError(`frame ${place.frame}: entry: no channel's number`);
    const length = cursor.uvarint("length");
    if (length > BigInt(cursor.left)) throw new ChangedError(`frame ${place.frame}: entry: it ends early`);
    entries.push({ kind, at: Number(at), channel: Number(channel), data: cursor.view(Number(length), "data"), place });
  }
  return { entries, last: at };
}
