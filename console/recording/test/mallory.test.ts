import "./webcrypto.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { join, u16, u64, utf8 } from "../src/bytes.js";
import { parseEntries } from "../src/entry.js";
import { openRecording, RecordingError } from "../src/recording.js";
import { describe, end, entry, type Frame, type Header, line, recording, session, signer } from "./mallory.js";
import { Random } from "./random.js";
import { all } from "./vectors.js";

const [last, opens, compressed] = [1, 2, 4];
const first: Frame = { flags: opens, plain: entry(1, 0, 0, describe()) };
const hello: Frame = { flags: 0, plain: entry(16, 7, 1, utf8("hello")) };
const done: Frame = { flags: last, plain: entry(2, 9, 0, end(2, 1, 5)) };

async function outcome(frames: Frame[], header: Header = {}): Promise<string> {
  const file = await recording(frames, header);
  try {
    const { error } = await all(await openRecording(file, line, { signers: [signer] }));
    if (error) throw error;
    return "whole";
  } catch (error) {
    assert.ok(error instanceof RecordingError, String(error));
    return error.code;
  }
}

/** Three frames, of which the one in the middle is this; it holds one entry with so much data. */
function middle(plain: Uint8Array, flags = 0, bytes = 5): Frame[] {
  return [first, { flags, plain }, { flags: last, plain: entry(2, 9, 0, end(2, 1, bytes)) }];
}

/** Prints what was said before, so that a dictionary makes it short. */
const echo = entry(16, 7, 1, describe());

function packed(plain: Uint8Array, dictionary: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new Uint8Array(deflateRawSync(plain, { dictionary }));
}

test("what a gateway would write", async () => {
  assert.equal(await outcome([first, hello, done]), "whole");
  assert.equal(await outcome([first, { ...hello, flags: opens }, { ...done, flags: last | opens }]), "whole");
  assert.equal(await outcome(middle(packed(hello.plain), opens | compressed)), "whole");
  assert.equal(await outcome(middle(packed(echo, first.plain), compressed, describe().length)), "whole");
});

test("frames that no gateway writes", async () => {
  const bomb = packed(entry(16, 7, 1, new Uint8Array(1 << 17)));
  const wrong: Record<string, Frame[]> = {
    "no segment": [{ ...first, flags: 0 }, hello, done],
    "only one frame": [{ flags: last | opens, plain: entry(2, 9, 0, end(0, 0, 0)) }],
    "a compressed end": [first, hello, { flags: last | compressed, plain: packed(done.plain) }],
    "unknown flags": middle(hello.plain, 8),
    "no session first": [{ flags: opens, plain: hello.plain }, hello, done],
    "more than the session first": [{ flags: opens, plain: join(first.plain, hello.plain) }, hello, done],
    "two sessions": middle(first.plain),
    "an end in the middle": middle(done.plain),
    "an end behind something": [first, { flags: last, plain: join(hello.plain, done.plain) }],
    "no end at last": [first, { ...hello, flags: last }],
    "a session with a time": [{ flags: opens, plain: entry(1, 1, 0, describe()) }, hello, done],
    "a session on a channel": [{ flags: opens, plain: entry(1, 0, 1, describe()) }, hello, done],
    "another session": [{ flags: opens, plain: entry(1, 0, 0, describe({ id: "ses_other" })) }, hello, done],
    "another start": [{ flags: opens, plain: entry(1, 0, 0, describe({ started: "1970-01-01T00:00:00.000000006Z" })) }, hello, done],
    "no start": [{ flags: opens, plain: entry(1, 0, 0, describe({ started: 5 })) }, hello, done],
    "no JSON": [{ flags: opens, plain: entry(1, 0, 0, utf8("ses")) }, hello, done],
    null: [{ flags: opens, plain: entry(1, 0, 0, utf8("null")) }, hello, done],
    "other totals": [first, hello, { flags: last, plain: entry(2, 9, 0, end(2, 2, 5)) }],
    "other bytes": [first, hello, { flags: last, plain: entry(2, 9, 0, end(2, 1, 6)) }],
    "other frames": [first, hello, { flags: last, plain: entry(2, 9, 0, end(3, 1, 5)) }],
    "no reason": [first, hello, { flags: last, plain: entry(2, 9, 0, end(2, 1, 5, "")) }],
    "more than an end": [first, hello, { flags: last, plain: entry(2, 9, 0, join(end(2, 1, 5), new Uint8Array(1))) }],
    "an end on a channel": [first, hello, { flags: last, plain: entry(2, 9, 1, end(2, 1, 5)) }],
    "an end before the last entry": [first, hello, { flags: last, plain: entry(2, 6, 0, end(2, 1, 5)) }],
    "what unfolds without end": middle(bomb, opens | compressed),
    "what is not compressed": middle(hello.plain, compressed),
    "what refers to a segment before": middle(packed(echo, first.plain), opens | compressed, describe().length),
    "bytes behind the stream": middle(join(packed(hello.plain), new Uint8Array(1)), opens | compressed),
    "a stream of nothing": middle(join(new Uint8Array([0, 0, 0, 255, 255]), packed(new Uint8Array(0))), opens | compressed),
  };
  for (const [what, frames] of Object.entries(wrong)) assert.equal(await outcome(frames), "changed", what);
});

test("entries that no gateway writes", async () => {
  const wrong: Record<string, Uint8Array> = {
    "an end within": hello.plain.subarray(0, 8),
    "a length beyond": join(hello.plain.subarray(0, 3), new Uint8Array([6]), utf8("hello")),
    "a number in too many bytes": new Uint8Array([16, 0x87, 0, 1, 0]),
    "a channel beyond": new Uint8Array([16, 7, 0x80, 0x80, 0x80, 0x80, 0x10, 0]),
    "a time beyond": new Uint8Array([16, 0xf8, 0xd2, 0xd5, 0xbc, 0xa7, 0xe2, 0xb1, 0x10, 1, 0, 0, 0]),
    "a number beyond 64 bits": new Uint8Array([16, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 1, 0]),
    "a number without end": new Uint8Array(100).fill(255).fill(16, 0, 1),
  };
  for (const [what, plain] of Object.entries(wrong)) assert.equal(await outcome(middle(plain)), "changed", what);
  assert.equal(await outcome(middle(entry(99, 7, 1, utf8("hello")))), "version");
});

test("headers that no gateway writes", async () => {
  assert.equal(await outcome([first, hello, done], { commitment: new Uint8Array(32) }), "changed");
  assert.equal(await outcome([first, hello, done], { sealedFor: "ses_other" }), "changed");
  const front = join(u64(5), signer, new Uint8Array(32));
  const named = (name: string): Uint8Array => join(new Uint8Array([name.length]), utf8(name), front);
  const wrong: Record<string, (slot: Uint8Array) => Uint8Array> = {
    "no session": (slot) => join(named(""), u16(1), slot),
    "a session's ID that is none": (slot) => join(named("ses/../x"), u16(1), slot),
    "a long ID": (slot) => join(named("s".repeat(65)), u16(1), slot),
    "no recipients": () => join(named(session), u16(0)),
    "more recipients": (slot) => join(named(session), u16(2), slot),
    "one recipient twice": (slot) => join(named(session), u16(2), slot, slot),
    "too many recipients": (slot) => join(named(session), u16(257), slot),
    "bytes behind": (slot) => join(named(session), u16(1), slot, new Uint8Array(1)),
    "a start beyond": (slot) => join(new Uint8Array([3]), utf8("ses"), u64(1n << 63n), signer, new Uint8Array(32), u16(1), slot),
  };
  for (const [what, body] of Object.entries(wrong)) assert.equal(await outcome([first], { body }), "changed", what);
  assert.equal(await outcome([first], { body: (slot) => join(named(session), u16(1), u16(0x11), slot) }), "version");
});

test("whatever stands in a frame: entries, or an error", () => {
  const random = new Random(8);
  const place = { frame: 1, segment: 0, offset: 0 };
  let read = 0;
  for (let round = 0; round < 50_000; round++) {
    const plain = join(...Array.from({ length: random.below(5) }, () => entry(16 + random.below(4), random.below(1 << 20), random.below(300), random.bytes(random.below(9)))));
    for (let i = random.below(3); i > 0 && plain.length > 0; i--) plain[random.below(plain.length)] = random.below(256);
    try {
      const { entries } = parseEntries(plain, 0n, place);
      read++;
      assert.ok(entries.every(({ at }, i) => at >= (entries[i - 1]?.at ?? 0)));
    } catch (error) {
      assert.ok(error instanceof RecordingError, String(error));
    }
  }
  assert.ok(read > 10_000, `only ${read} were entries`);
});
