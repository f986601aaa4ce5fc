import "./webcrypto.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { hex } from "../src/bytes.js";
import { openRecording, parseHeader, RecordingError, verify } from "../src/recording.js";
import { all, bytes, plain, privateKey, signers, vectors } from "./vectors.js";

const codes: Record<string, string> = { cut: "cut", invalid: "changed", "older version": "version", "newer version": "version" };

test("there are vectors", () => assert.ok(vectors.length >= 8));

for (const one of vectors) {
  for (const id of one.keys) {
    test(`${one.name} opens with ${id}: ${one.about}`, async () => {
      if (one.header === "") {
        await assert.rejects(openRecording(bytes(one.name), privateKey(id), { signers: signers(one) }), { code: codes[one.error] });
        return;
      }
      const recording = await openRecording(bytes(one.name), privateKey(id), { signers: signers(one) });
      const { entries, error } = await all(recording);
      const code = error instanceof RecordingError ? error.code : error;
      assert.equal(code, codes[one.error]);
      assert.deepEqual(plain(entries), one.entries.map(({ kind: _, ...rest }) => rest));
      assert.deepEqual(recording.session, one.session);
      const { frames, bytes: whole, chain } = recording.extent;
      assert.deepEqual({ frames, bytes: whole, chain }, { frames: one.frames, bytes: one.bytes, chain: one.chain });
      assert.deepEqual(recording.end, one.complete ? { reason: one.end, at: one.end_at } : undefined);
    });

    test(`${one.name} verifies with ${id}`, async () => {
      const report = await verify(bytes(one.name), { signers: signers(one), key: privateKey(id) });
      assert.equal(report.problem?.code, codes[one.error]);
      assert.equal(report.frames, one.frames);
      assert.equal(report.chain, one.chain);
      assert.equal(report.complete, one.complete);
      assert.equal(report.trusted, one.header !== "");
      assert.equal(report.end?.reason, one.end);
    });
  }

  test(`${one.name} verifies without a key`, async () => {
    const report = await verify(bytes(one.name), { signers: signers(one) });
    assert.equal(report.problem?.code, codes[one.error]);
    assert.equal(report.opened, false);
    if (!one.complete) return;
    assert.equal(report.chain, one.chain);
    assert.equal(report.bytes, one.bytes);
  });

  test(`${one.name} has the header that its JSON tells`, { skip: one.header === "" }, async () => {
    const header = await parseHeader(bytes(one.name));
    assert.equal(hex(header.hash), one.header);
    assert.deepEqual(header.slots.map(({ id, kem }) => ({ id, kem })), one.slots);
  });
}
