import "./webcrypto.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Entry,
  fromCryptoKeys,
  openRecording,
  openSegment,
  parseHeader,
  parseLockedKey,
  parseManifest,
  parsePrivateKey,
  segmentAt,
  verify,
} from "../src/recording.js";
import { all, bytes, keys, plain, privateKey, signers, text, vector } from "./vectors.js";

const long = vector("segments");
const whole = bytes("segments");
const key = await parsePrivateKey(privateKey(long.keys[0]!));
const options = { signers: signers(long) };
const manifest = parseManifest(text("segments.manifest.json"));

test("a segment opens without what is before it", async () => {
  const header = await parseHeader(whole.subarray(0, manifest.segments[0]!.bytes));
  const expected = (await all(await openRecording(whole, key, options))).entries;
  assert.equal(manifest.segments.length, 5);
  for (const segment of manifest.segments.slice(1)) {
    const recording = await openSegment(whole.subarray(segment.offset), header, segment, key, { ...options, chain: long.chain });
    const { entries, error } = await all(recording);
    assert.equal(error, undefined);
    assert.deepEqual(entries, expected.filter(({ place }) => place.segment >= segment.index));
    assert.deepEqual(recording.end, { reason: "done", at: long.end_at });
    assert.equal(entries[0]!.at, segment.first);

    const alone = await openSegment(whole.subarray(segment.offset, segment.offset + segment.bytes), header, segment, key, options);
    const found = await all(alone);
    const last: boolean = segment.index === manifest.segments.length - 1;
    assert.equal((found.error as { code?: string } | undefined)?.code, last ? undefined : "cut");
    assert.deepEqual(found.entries, expected.filter(({ place }) => place.segment === segment.index));
    assert.equal(alone.extent.frames, segment.frame + segment.frames);
  }
});

test("wrong facts about a segment open nothing", async () => {
  const header = await parseHeader(whole);
  const right = manifest.segments[2]!;
  const wrong = [
    { ...right, frame: right.frame + 1 },
    { ...right, chain: manifest.segments[1]!.chain },
    { ...right, chain: "no chain" },
    { ...right, frame: -1 },
    { ...right, offset: 0.5 },
  ];
  for (const facts of wrong) {
    const attempt = openSegment(whole.subarray(right.offset), header, facts, key, options).then(all);
    const failed = await attempt.catch((error: unknown) => ({ entries: [] as Entry[], error }));
    assert.equal((failed.error as { code?: string }).code, "changed");
    assert.equal(failed.entries.length, 0);
  }
  // The second frame of a segment opens no segment.
  const second = right.offset + 5 + new DataView(whole.buffer, whole.byteOffset).getUint32(right.offset);
  const inside = await openSegment(whole.subarray(second), header, { ...right, frame: right.frame + 1, offset: second }, key, options);
  assert.equal(((await all(inside)).error as { code?: string }).code, "changed");
});

test("places of frames lead to their bytes", async () => {
  const { entries } = await all(await openRecording(whole, key, options));
  for (const { place } of entries) assert.ok(place.offset > 0 && place.offset < whole.length);
  for (const segment of manifest.segments.slice(1)) {
    const first = entries.find(({ place }) => place.segment === segment.index);
    assert.deepEqual(first?.place, { frame: segment.frame, segment: segment.index, offset: segment.offset });
  }
});

test("a recording comes in pieces of any size, and starts at once", async () => {
  for (const size of [1, 7, 1000, 100_000]) {
    let read = 0;
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (; read < whole.length; read += size) yield whole.subarray(read, read + size);
    }
    const recording = await openRecording(pieces(), key, options);
    let first: number | undefined;
    const entries: Entry[] = [];
    for await (const entry of recording) {
      first ??= read;
      entries.push(entry);
    }
    assert.deepEqual(plain(entries), long.entries.map(({ kind: _, ...rest }) => rest));
    if (size < 1000) assert.ok(first! < 2000, `the first entry came after ${first} bytes`);
  }
});

test("a browser's stream, which is let go when nobody reads on", async () => {
  let cancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(whole),
    cancel: () => void (cancelled = true),
  });
  for await (const entry of await openRecording(stream, key, options)) {
    assert.equal(entry.kind, "output");
    break;
  }
  assert.ok(cancelled);
});

test("what the source throws is passed on", async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield whole.subarray(0, 1000);
    throw new TypeError("network");
  }
  const { error } = await all(await openRecording(broken(), key, options));
  assert.ok(error instanceof TypeError);
});

for (const { id, kem, label, private: line, locked, passphrase } of keys) {
  test(`the key of kind ${kem}, as it is and under its passphrase`, async () => {
    for (const text of [line, `${line}\n`]) {
      const plainKey = await parsePrivateKey(text);
      assert.deepEqual([plainKey.id, plainKey.label], [id, label]);
    }
    await assert.rejects(parsePrivateKey(locked), { code: "locked" });
    const box = parseLockedKey(locked);
    assert.deepEqual([box.id, box.label], [id, label]);
    await assert.rejects(box.unlock(`${passphrase}!`), { code: "locked" });
    await assert.rejects(parseLockedKey(locked.replace(` ${label}`, " mallory")).unlock(passphrase), { code: "locked" });
    const opened = await box.unlock(passphrase);
    assert.equal(opened.id, id);
    const { error } = await all(await openRecording(bytes("mixed"), opened, { signers: "any" }));
    assert.equal(error, undefined);
  });
}

test("lines that are no keys", async () => {
  const { private: line, locked } = keys[0]!;
  const wrong = ["", "x", `${line} more`, `${line}\n\n`, line.replace(" ", "  "), line.replace("v1", "v2"), line.replace("mlkem768-x25519", "rsa"), "sekisho-auditor-key-v1 p256 " + "A".repeat(43) + "="];
  for (const text of [...wrong, "A".repeat(1 << 20)]) await assert.rejects(parsePrivateKey(text), { code: "key" }, text.slice(0, 60));
  const count = / 600000 /;
  for (const text of [line, locked.replace(count, " 999 "), locked.replace(count, " 10000001 "), locked.replace(count, " 0600000 "), locked.slice(0, 60)]) {
    assert.throws(() => parseLockedKey(text), { code: "key" }, text.slice(0, 60));
  }
});

test("a P-256 key that WebCrypto does not give out", async () => {
  const { private: line, id } = keys.find(({ kem }) => kem === "p256")!;
  const secret = Buffer.from(line.split(" ")[2]!, "base64");
  const { createECDH } = await import("node:crypto");
  const point = createECDH("prime256v1");
  point.setPrivateKey(secret);
  const [x, y] = [point.getPublicKey().subarray(1, 33), point.getPublicKey().subarray(33)].map((half) => half.toString("base64url"));
  const jwk = { kty: "EC", crv: "P-256", x: x!, y: y! };
  const params = { name: "ECDH", namedCurve: "P-256" };
  const pair = {
    privateKey: await crypto.subtle.importKey("jwk", { ...jwk, d: secret.toString("base64url") }, params, false, ["deriveBits"]),
    publicKey: await crypto.subtle.importKey("jwk", jwk, params, true, []),
  };
  const held = await fromCryptoKeys(pair);
  assert.equal(held.id, id);
  const { entries, error } = await all(await openRecording(bytes("p256"), held, { signers: "any" }));
  assert.equal(error, undefined);
  assert.equal(entries.length, vector("p256").entries.length);
});

test("manifests", () => {
  const original = text("segments.manifest.json");
  assert.equal(segmentAt(manifest, 0)?.index, 0);
  assert.equal(segmentAt(manifest, manifest.segments[1]!.first)?.index, 1);
  assert.equal(segmentAt(manifest, 1e15)?.index, 4);
  const later = segmentAt(manifest, manifest.segments[1]!.last + 1);
  assert.equal(later?.index, 1);
  const wrong = ["", "{}", original.trimEnd(), ` ${original}`, original.replace('"frame":18', '"frame":19'), original.replace("closed", "open"), original.replace('"format":2', '"format":3')];
  for (const text of wrong) assert.throws(() => parseManifest(text), { code: "malformed" }, text.slice(0, 60));
});

test("a manifest is held against its recording", async () => {
  const found = async (changed: object, name = "segments", secret?: typeof key): Promise<string | undefined> => {
    const report = await verify(bytes(name), { ...options, manifest: { ...manifest, ...changed }, ...(secret ? { key: secret } : {}) });
    return report.problem?.code;
  };
  for (const secret of [undefined, key]) {
    assert.equal(await found({}, "segments", secret), undefined);
    assert.equal(await found({}, "cut", secret), "cut");
    assert.equal(await found({ state: "open", segments: manifest.segments.slice(0, 2) }, "segments", secret), undefined);
    assert.equal(await found({ segments: manifest.segments.slice(0, 2) }, "segments", secret), "changed");
    for (const fact of ["offset", "bytes", "frame", "frames"] as const) {
      const segments = manifest.segments.map((segment, i) => (i === 3 ? { ...segment, [fact]: segment[fact] + 1 } : segment));
      assert.equal(await found({ segments }, "segments", secret), "changed", fact);
    }
    const times = manifest.segments.map((segment, i) => (i === 3 ? { ...segment, last: segment.last + 1 } : segment));
    assert.equal(await found({ segments: times }, "segments", secret), secret ? "changed" : undefined);
    assert.equal(await found({ header: manifest.chain }, "segments", secret), "changed");
  }
});
