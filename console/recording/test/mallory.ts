// A writer that seals and signs well, but whatever it likes.
import { ed25519 } from "@noble/curves/ed25519.js";
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { type Bytes, join, u16, u64, utf8 } from "../src/bytes.js";
import { hkdf, sha256 } from "../src/crypto.js";
import { kems } from "../src/hpke.js";
import { Random } from "./random.js";

const random = new Random(7);
const seed = random.bytes(32);
const secret = random.bytes(32);
const fileKey = random.bytes(32);
const session = "ses_mallory";

export const signer = Uint8Array.from(ed25519.getPublicKey(seed));
export const line = `sekisho-auditor-key-v1 p256 ${Buffer.from(secret).toString("base64")}`;

export interface Frame {
  flags: number;
  plain: Uint8Array;
}

export function u32(value: number): Bytes {
  return join(u16(value >>> 16), u16(value & 0xffff));
}

export function uvarint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...uvarint(Math.floor(value / 128))];
}

export function entry(kind: number, time: number, channel: number, data: Uint8Array): Bytes {
  return join(new Uint8Array([kind, ...uvarint(time), ...uvarint(channel), ...uvarint(data.length)]), data);
}

export function describe(more: object = {}): Bytes {
  return utf8(JSON.stringify({ id: session, started: "1970-01-01T01:00:00.000000005+01:00", ...more }));
}

export function end(frames: number, entries: number, bytes: number, reason = "done"): Bytes {
  return join(u64(frames), u64(entries), u64(bytes), u32(reason.length), utf8(reason));
}

export interface Header {
  commitment?: Bytes;
  /** Session that the file key is sealed for. */
  sealedFor?: string;
  /** What stands before the slots, for forms that are none. */
  body?: (slot: Bytes) => Uint8Array;
}

async function header(given: Header): Promise<Bytes> {
  const kem = kems[2]!;
  const suite = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
  const publicKey = kem.publicOf(secret);
  const info = join(utf8("sekisho-recording-v2\0"), u16(kem.id), utf8(given.sealedFor ?? session));
  const sealed = await suite.Seal(await suite.DeserializePublicKey(publicKey), fileKey, { info });
  const slot = join(u16(kem.id), (await sha256(publicKey)).subarray(0, 8), sealed.encapsulatedSecret, sealed.ciphertext);
  const commitment = given.commitment ?? (await hkdf(fileKey, "sekisho-recording-v2 commitment"));
  const usual = join(new Uint8Array([session.length]), utf8(session), u64(5), signer, commitment, u16(1), slot);
  const body = given.body?.(slot) ?? usual;
  const signed = join(utf8("sekisho\0"), u16(2), u16(0), u32(body.length), body);
  return join(signed, ed25519.sign(join(utf8("sekisho-recording-header-v2\0"), signed), seed));
}

/** A recording of these frames. */
export async function recording(frames: Frame[], given: Header = {}): Promise<Bytes> {
  const parts = [await header(given)];
  const start = await sha256(parts[0]!);
  const raw = await hkdf(fileKey, "sekisho-recording-v2 frames");
  const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
  let chain = start;
  for (const [n, { flags, plain }] of frames.entries()) {
    const number = u64(n);
    const additionalData = join(start, number, new Uint8Array([flags]), chain);
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: join(new Uint8Array(4), number), additionalData }, key, Uint8Array.from(plain));
    const frame = join(u32(sealed.byteLength), new Uint8Array([flags]), new Uint8Array(sealed));
    chain = await sha256(join(chain, frame));
    parts.push(frame);
  }
  parts.push(Uint8Array.from(ed25519.sign(join(utf8("sekisho-recording-end-v2\0"), chain), seed)));
  return join(...parts);
}

export { session };
