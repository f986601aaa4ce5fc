import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { ChangedError } from "../src/errors.js";
import { inflate } from "../src/inflate.js";
import { Random } from "./random.js";

const limit = 65536;
const strategies = [constants.Z_DEFAULT_STRATEGY, constants.Z_HUFFMAN_ONLY, constants.Z_RLE, constants.Z_FIXED];

test("what zlib packs comes out again", () => {
  const random = new Random(1);
  for (let round = 0; round < 200; round++) {
    const size = round < 50 ? round : random.below(limit + 1);
    const plain = random.below(4) === 0 ? random.bytes(size) : random.text(size);
    const dictionary = random.below(3) === 0 ? new Uint8Array(0) : random.text(random.below(8193));
    const options = { level: random.below(10), strategy: strategies[random.below(4)]!, memLevel: 1 + random.below(9), dictionary };
    const packed = deflateRawSync(plain, options);
    assert.deepEqual(inflate(packed, dictionary, limit), plain, `round ${round}`);
  }
});

test("codes of 15 bits", () => {
  // Frequencies like Fibonacci's numbers give the longest codes.
  const parts: number[] = [];
  for (let symbol = 0, a = 1, b = 1; symbol < 22; symbol++, [a, b] = [b, a + b]) for (let i = 0; i < a; i++) parts.push(symbol);
  const random = new Random(2);
  for (let i = parts.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [parts[i], parts[j]] = [parts[j]!, parts[i]!];
  }
  const plain = Uint8Array.from(parts);
  const packed = deflateRawSync(plain, { level: 9, strategy: constants.Z_HUFFMAN_ONLY, memLevel: 9 });
  assert.deepEqual(inflate(packed, new Uint8Array(0), limit), plain);
});

test("no byte more than allowed", () => {
  const packed = deflateRawSync(new Uint8Array(limit + 1));
  assert.throws(() => inflate(packed, new Uint8Array(0), limit), ChangedError);
  assert.equal(inflate(packed, new Uint8Array(0), limit + 1).length, limit + 1);
  assert.throws(() => inflate(deflateRawSync(new Uint8Array(1 << 24)), new Uint8Array(0), limit), ChangedError);
});

test("a stream that is not whole, or not alone", () => {
  const plain = new Random(3).text(1000);
  for (const level of [0, 1, 9]) {
    const packed = new Uint8Array(deflateRawSync(plain, { level }));
    for (let cut = 0; cut < packed.length; cut++) {
      assert.throws(() => inflate(packed.subarray(0, cut), new Uint8Array(0), limit), ChangedError, `cut at ${cut}`);
    }
    const more = new Uint8Array(packed.length + 1);
    more.set(packed);
    assert.throws(() => inflate(more, new Uint8Array(0), limit), ChangedError);
  }
});

test("whatever comes: what zlib opens, or an error", () => {
  const random = new Random(4);
  const dictionary = random.text(500);
  let opened = 0;
  for (let round = 0; round < 20_000; round++) {
    const packed = mutated(random, new Uint8Array(deflateRawSync(random.text(200), { dictionary, level: 9 })));
    let plain: Uint8Array;
    try {
      plain = inflate(packed, dictionary, limit);
    } catch (error) {
      assert.ok(error instanceof ChangedError, String(error));
      continue;
    }
    opened++;
    assert.deepEqual(plain, new Uint8Array(inflateRawSync(packed, { dictionary })), `round ${round}`);
  }
  assert.ok(opened > 100, `only ${opened} opened`);
});

function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  if (random.below(10) === 0) return random.bytes(random.below(60));
  for (let i = random.below(3); i >= 0; i--) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
  return bytes;
}
