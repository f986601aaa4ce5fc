// What WebCrypto does, with the few arguments that the format leaves open.
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 as noble } from "@noble/hashes/sha2.js";
import { type Bytes, utf8 } from "./bytes.js";

const short = 2048; // up to here asking WebCrypto takes longer than doing it

export async function sha256(bytes: Bytes): Promise<Bytes> {
  if (bytes.length <= short) return Uint8Array.from(noble(bytes));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** HKDF-SHA256 (RFC 5869) without salt, 32 bytes. */
export async function hkdf(secret: Bytes, info: string): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const params = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(params, key, 256));
}

export async function aesKey(raw: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["decrypt"]);
}

/** Opens AES-256-GCM; undefined where the tag does not fit. */
export async function open(key: CryptoKey, nonce: Bytes, sealed: Bytes, aad: Bytes): Promise<Bytes | undefined> {
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce, additionalData: aad }, key, sealed));
  } catch (error) {
    if (error instanceof Error && error.name === "OperationError") return undefined;
    throw error;
  }
}

/** Checks an Ed25519 signature (RFC 8032), by WebCrypto where it can. */
export async function signedBy(publicKey: Bytes, signature: Bytes, message: Bytes): Promise<boolean> {
  let key: CryptoKey;
  try {
    key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  } catch {
    return ed25519.verify(signature, message, publicKey, { zip215: false });
  }
  return crypto.subtle.verify("Ed25519", key, signature, message);
}

/** PBKDF2-HMAC-SHA256 (RFC 8018), 32 bytes. */
export async function pbkdf2(passphrase: Bytes, salt: Bytes, iterations: number): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", passphrase, "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, 256));
}
