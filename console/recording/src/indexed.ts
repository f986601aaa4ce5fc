import { hex } from "./bytes.js";
import { type Entry } from "./entry.js";
import { ChangedError } from "./errors.js";
import { type Header } from "./header.js";
import { type Manifest, type Segment } from "./manifest.js";
import { type Walk } from "./walk.js";

/** Holds what a manifest says against the segments that a walk from the beginning goes through. */
export class IndexCheck {
  private running: Segment | undefined;

  constructor(
    private readonly manifest: Manifest,
    header: Header,
    /** Whether frames are opened: only then are times known. */
    private readonly times: boolean,
  ) {
    if (manifest.session !== header.session || manifest.header !== hex(header.hash)) throw new ChangedError("the manifest is that of another recording");
  }

  /** Takes one step of the walk, and tells whether there was one. */
  async step(walk: Walk): Promise<boolean> {
    const before = { segment: walk.segment, offset: walk.offset, frame: walk.frame, chain: hex(walk.chain) };
    const entries = await walk.step();
    if (entries && walk.segment !== before.segment) this.open(before, walk.segment, entries);
    if (entries && this.running) this.extend(this.running, walk);
    if (walk.complete && entries) this.finish();
    return entries !== undefined;
  }

  private open(before: { offset: number; frame: number; chain: string }, index: number, entries: Entry[]): void {
    if (this.running) this.compare(this.running);
    const first = entries[0]?.at ?? 0;
    const { offset, frame, chain } = before;
    this.running = { index, offset: index === 0 ? 0 : offset, bytes: 0, frame, frames: 0, chain, first, last: first };
  }

  private extend(running: Segment, walk: Walk): void {
    running.bytes = walk.offset - running.offset;
    running.frames = walk.frame - running.frame;
    running.last = Number(walk.at);
  }

  private finish(): void {
    if (this.running) this.compare(this.running);
    const { state, segments } = this.manifest;
    const found = (this.running?.index ?? -1) + 1;
    if (state !== "open" && segments.length !== found) throw new ChangedError(`the recording has ${found} segments, its manifest ${segments.length}`);
  }

  private compare(found: Segment): void {
    const said = this.manifest.segments[found.index];
    if (!said && this.manifest.state === "open") return; // it went on
    const { first, last } = this.times ? found : (said ?? found);
    if (JSON.stringify(said) !== JSON.stringify({ ...found, first, last })) throw new ChangedError(`segment ${found.index} is not as the manifest has it`);
  }
}
