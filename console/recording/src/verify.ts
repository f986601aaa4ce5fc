import { hex } from "./bytes.js";
import { ChangedError, CutError, RecordingError } from "./errors.js";
import { type Header, readHeader } from "./header.js";
import { IndexCheck } from "./indexed.js";
import { parsePrivateKey, type PrivateKey } from "./keys.js";
import { type Manifest } from "./manifest.js";
import { checkChain, checkSession, checkTrust } from "./reader.js";
import { Pull, type Source } from "./source.js";
import { type End, frameKey, Walk } from "./walk.js";

export interface VerifyOptions {
  /** The gateways' recording keys, 32 bytes each; "any" leaves it open whose recording this is. */
  signers: readonly Uint8Array[] | "any";
  /** The chain in hex that the audit log has for the closed recording. */
  chain?: string;
  /** The one that it has for a recording that the gateway did not close: how far it went. What is shorter, longer or closed is not that recording. */
  cut?: string;
  /** What the recording's index says of its segments. */
  manifest?: Manifest;
  /** The ID of the session that the recording should be of. */
  session?: string;
  /** A private key, or its line; opens every frame too. Without it the header's signature, the chain and the end's signature are checked. */
  key?: PrivateKey | string;
}

/** What verify found, complete or up to where it stopped. */
export interface Report {
  /** What is wrong; undefined when nothing is. CutError: all up to there is right, but the end is missing. */
  problem?: RecordingError;
  header?: Header;
  frames: number;
  segments: number;
  /** Bytes that are whole. */
  bytes: number;
  /** In hex, up to there. */
  chain: string;
  /** There is an end, and it is signed. */
  complete: boolean;
  /** There is none, but the recording goes exactly as far as options.cut says. */
  noted: boolean;
  /** The signer is one of options.signers. */
  trusted: boolean;
  /** A key was given and every frame up to there opened. The fields below are known with a key only. */
  opened: boolean;
  entries?: number;
  /** Time of the end, or of the latest entry, in microseconds. */
  length?: number;
  end?: End;
}

/** Reads a whole recording and tells what is wrong with it. Only what the source throws is thrown. */
export async function verify(source: Source, options: VerifyOptions): Promise<Report> {
  const report: Report = { frames: 0, segments: 0, bytes: 0, chain: "", complete: false, noted: false, trusted: false, opened: false };
  const pull = new Pull(source);
  try {
    await check(pull, options, report);
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error;
    report.problem = error;
  } finally {
    await pull.close();
  }
  return report;
}

async function check(pull: Pull, options: VerifyOptions, report: Report): Promise<void> {
  const header = await readHeader(pull);
  report.header = header;
  checkTrust(header, options.signers);
  report.trusted = options.signers !== "any";
  checkSession(header, options.session);
  const key = typeof options.key === "string" ? await parsePrivateKey(options.key) : options.key;
  const walk = new Walk(pull, header, key && (await frameKey(header, key)));
  const index = options.manifest && new IndexCheck(options.manifest, header, key !== undefined);
  const step = async (): Promise<boolean> => (index ? index.step(walk) : (await walk.step()) !== undefined);
  const stopped = await toTheEnd(step);
  note(report, walk, key !== undefined);
  report.opened = key !== undefined && (stopped === undefined || stopped instanceof CutError);
  if (stopped instanceof CutError) throw checkCut(stopped, options, report);
  if (stopped !== undefined) throw stopped;
  if (options.cut !== undefined) throw new ChangedError("the recording has an end, which its gateway did not write");
  checkChain(walk.chain, options.chain);
}

/** Gives what it stopped at. */
async function toTheEnd(step: () => Promise<boolean>): Promise<unknown> {
  try {
    while (await step());
    return undefined;
  } catch (error) {
    return error;
  }
}

function checkCut(error: CutError, { cut }: VerifyOptions, report: Report): RecordingError {
  if (cut === undefined) return error;
  report.noted = cut.toLowerCase() === report.chain;
  return report.noted ? error : new ChangedError("the recording does not end where the audit log says that it was cut off");
}

function note(report: Report, walk: Walk, opened: boolean): void {
  report.frames = walk.frame;
  report.segments = walk.segment + 1;
  report.bytes = walk.offset;
  report.chain = hex(walk.chain);
  report.complete = walk.complete;
  if (!opened) return;
  report.entries = walk.entries;
  report.length = Number(walk.at);
  if (walk.complete && walk.end) report.end = walk.end;
}
