import "./webcrypto.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { openRecording, parseHeader, parsePrivateKey, type PrivateKey, RecordingError, verify, WrongKeyError } from "../src/recording.js";
import { Random } from "./random.js";
import { all, bytes, keys, plain, privateKey, signers, vector } from "./vectors.js";

const small = vector("p256");
const whole = bytes("p256");
const key = remembering(await parsePrivateKey(privateKey(small.keys[0]!)));
const trusted = { signers: signers(small) };

/** The same key, which opens the same file key once: that is the slow part, and most of what is changed here comes after it. */
function remembering(slow: PrivateKey): PrivateKey {
  const opened = new Map<string, Promise<Uint8Array>>();
  const open: PrivateKey["open"] = (enc, info, sealed) => {
    const name = [enc, info, sealed].map((part) => Buffer.from(part).toString("base64")).join(" ");
    if (!opened.has(name)) opened.set(name, slow.open(enc, info, sealed));
    return opened.get(name)!;
  };
  return { ...slow, open };
}

/** Does something so many times, some at once: WebCrypto works beside the program. */
async function each(times: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < times) await work(next++);
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

/** Opens what was tampered with; whatever comes out must be the beginning of what is in the vector. */
async function outcome(tampered: Uint8Array, one = small, secret = key): Promise<string> {
  let error: unknown;
  let entries: Awaited<ReturnType<typeof all>>["entries"] = [];
  try {
    ({ entries, error } = await all(await openRecording(tampered, secret, { signers: signers(one) })));
  } catch (early) {
    error = early;
  }
  assert.deepEqual(plain(entries), one.entries.slice(0, entries.length).map(({ kind: _, ...rest }) => rest));
  if (error === undefined) return "whole";
  assert.ok(error instanceof RecordingError, String(error));
  return error.code;
}

/** Frames of a recording: from which byte to which. */
async function frames(recording: Uint8Array): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  const view = new DataView(recording.buffer, recording.byteOffset);
  for (let at = (await parseHeader(recording)).size, last = false; !last; ) {
    const length = 5 + view.getUint32(at);
    last = (recording[at + 4]! & 1) !== 0;
    found.push(recording.subarray(at, at + length));
    at += length;
  }
  return found;
}

function joined(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

test("every flipped bit is found, with a key and without", async () => {
  await each(whole.length * 8, async (bit) => {
    const tampered = whole.slice();
    tampered[bit >> 3]! ^= 1 << (bit & 7);
    assert.notEqual(await outcome(tampered), "whole", `bit ${bit}`);
    if (bit % 9 > 0) return; // one in each byte or so, each of the eight
    const report = await verify(tampered, trusted);
    assert.ok(report.problem, `bit ${bit} without a key`);
  });
});

test("every cut is found, and what is before it is good", async () => {
  const header = await parseHeader(whole);
  await each(whole.length, async (cut) => {
    assert.equal(await outcome(whole.slice(0, cut)), "cut", `cut at ${cut}`);
    const report = await verify(whole.slice(0, cut), { ...trusted, chain: small.chain });
    assert.equal(report.problem?.code, "cut", `cut at ${cut}`);
    assert.equal(report.complete, false);
    if (cut >= header.size) assert.ok(report.bytes <= cut);
  });
});

test("bytes after the end are found", async () => {
  assert.equal(await outcome(joined([whole, new Uint8Array(1)])), "changed");
  assert.equal(await outcome(joined([whole, whole])), "changed");
});

test("frames that were swapped, dropped, doubled or taken from another recording are found", async () => {
  const header = whole.subarray(0, (await parseHeader(whole)).size);
  const all = await frames(whole);
  const signature = whole.subarray(whole.length - 64);
  const foreign = await frames(bytes("mixed"));
  const tampered = (list: Uint8Array[]): Promise<string> => outcome(joined([header, ...list, signature]));
  assert.equal(await tampered(all), "whole");
  for (let i = 0; i < all.length; i++) {
    const without = all.filter((_, j) => j !== i);
    assert.notEqual(await tampered(without), "whole", `dropped ${i}`);
    assert.notEqual(await tampered([...all.slice(0, i), all[i]!, ...all.slice(i)]), "whole", `doubled ${i}`);
    assert.notEqual(await tampered(all.map((frame, j) => (j === i ? foreign[Math.min(i, foreign.length - 1)]! : frame))), "whole", `foreign ${i}`);
    for (let j = 0; j < i; j++) {
      const swapped = all.slice();
      [swapped[i], swapped[j]] = [all[j]!, all[i]!];
      assert.notEqual(await tampered(swapped), "whole", `swapped ${i} and ${j}`);
    }
  }
});

test("a key that is for other recordings", async () => {
  const other = privateKey(keys.find(({ id }) => id !== small.keys[0])!.id);
  await assert.rejects(openRecording(whole, other, trusted), (error) => {
    assert.ok(error instanceof WrongKeyError);
    assert.deepEqual(error.recipients, small.keys);
    return true;
  });
  assert.equal((await verify(whole, { ...trusted, key: other })).problem?.code, "wrong-key");
});

test("a signer that is not trusted", async () => {
  for (const nobody of [[], [new Uint8Array(32)]]) {
    await assert.rejects(openRecording(whole, key, { signers: nobody }), { code: "untrusted" });
    const report = await verify(whole, { signers: nobody });
    assert.equal(report.problem?.code, "untrusted");
    assert.equal(report.trusted, false);
  }
  assert.equal((await verify(whole, { signers: "any" })).trusted, false);
});

test("a recording of another session, or another than the audit log's", async () => {
  await assert.rejects(openRecording(whole, key, { ...trusted, session: "ses_another" }), { code: "changed" });
  assert.equal((await verify(whole, { ...trusted, session: "ses_another" })).problem?.code, "changed");
  assert.equal((await verify(whole, { ...trusted, session: "ses_70323536", chain: small.chain })).problem, undefined);
  assert.equal((await verify(whole, { ...trusted, chain: "00".repeat(32) })).problem?.code, "changed");
  const { entries, error } = await all(await openRecording(whole, key, { ...trusted, chain: "00".repeat(32) }));
  assert.equal(entries.length, small.entries.length);
  assert.ok(error instanceof RecordingError && error.code === "changed");
});

test("a recording that the audit log tells was cut off", async () => {
  const cut = bytes("cut");
  const { chain } = vector("cut");
  const noted = await verify(cut, { signers: "any", cut: chain });
  assert.deepEqual([noted.problem?.code, noted.noted], ["cut", true]);
  const shorter = await verify(cut.subarray(0, cut.length - 5000), { signers: "any", cut: chain });
  assert.deepEqual([shorter.problem?.code, shorter.noted], ["changed", false]);
  const closed = await verify(bytes("segments"), { signers: "any", cut: chain });
  assert.deepEqual([closed.problem?.code, closed.noted], ["changed", false]);
});

test("whatever comes gives the truth or an error", async () => {
  const random = new Random(6);
  const mixed = vector("mixed");
  const original = bytes("mixed");
  const secret = remembering(await parsePrivateKey(privateKey(mixed.keys[0]!)));
  await each(1500, async (round) => {
    const tampered = mutated(random, original);
    const same = Buffer.compare(tampered, original) === 0;
    const found = await outcome(tampered, mixed, secret);
    assert.equal(found === "whole", same, `round ${round}: ${found}`);
    const { problem } = await verify(tampered, { signers: signers(mixed) });
    assert.equal(problem === undefined, same, `round ${round}: ${problem?.code}`);
  });
});

/** Overwrites, cuts out, doubles, moves or puts in something. */
function mutated(random: Random, original: Uint8Array): Uint8Array {
  let result = original.slice();
  for (let i = random.below(3); i >= 0; i--) {
    const at = random.below(result.length + 1);
    const length = Math.min(random.below(300), result.length - at);
    const [before, piece, after] = [result.subarray(0, at), result.subarray(at, at + length), result.subarray(at + length)];
    const other = result.subarray(random.below(result.length));
    switch (random.below(5)) {
      case 0:
        result = joined([before, random.bytes(length), after]).slice();
        break;
      case 1:
        result = joined([before, after]).slice();
        break;
      case 2:
        result = joined([before, piece, piece, after]).slice();
        break;
      case 3:
        result = joined([before, other.subarray(0, length), after]).slice();
        break;
      default:
        result = joined([before, random.bytes(random.below(20)), piece, after]).slice();
    }
    if (result.length === 0) break;
  }
  return result;
}
