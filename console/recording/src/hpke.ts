// Opening file keys by HPKE (RFC 9180, base mode) with HKDF-SHA256 and AES-256-GCM, for the three KEMs of the format.
import { p256 } from "@noble/curves/nist.js";
import { MLKEM768P256, MLKEM768X25519 } from "@noble/post-quantum/hybrid.js";
import { KEM_MLKEM768_P256, KEM_MLKEM768_X25519 } from "@panva/hpke-noble";
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256, type Key, type KEMFactory, type KeyPair } from "hpke";
import { type Bytes } from "./bytes.js";

type PrivateHalf = Key | KeyPair;

/** A KEM of the format; sizes in bytes, keys as HPKE serializes them. */
export interface Kem {
  /** HPKE's number. */
  id: number;
  /** As lines of keys name it. */
  name: string;
  encSize: number;
  publicSize: number;
  privateSize: number;
  /** The public key that belongs to a private one; throws for what is no private key. */
  publicOf(secret: Bytes): Bytes;
  /** Opens what one HPKE context sealed first, with an empty aad; throws where it does not open. */
  open(secret: PrivateHalf, enc: Bytes, info: Bytes, sealed: Bytes): Promise<Uint8Array>;
  /** Makes a private key that can be used and not be taken out again. */
  load(secret: Bytes): Promise<PrivateHalf>;
}

function kem(name: string, factory: KEMFactory<any>, publicOf: (secret: Bytes) => Uint8Array, load?: (secret: Bytes) => Promise<PrivateHalf>): Kem {
  const suite: CipherSuite<any> = new CipherSuite(factory, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
  const { id, Nenc, Npk, Nsk } = suite.KEM;
  return {
    id,
    name,
    encSize: Nenc,
    publicSize: Npk,
    privateSize: Nsk,
    publicOf: (secret) => Uint8Array.from(publicOf(secret)),
    open: (secret, enc, info, sealed) => suite.Open(secret, enc, sealed, { info }),
    load: load ?? ((secret) => suite.DeserializePrivateKey(secret)),
  };
}

/** WebCrypto wants the public half of a P-256 key beside the private one: not every browser works it out. */
async function loadP256(secret: Bytes): Promise<KeyPair> {
  const point = p256.getPublicKey(secret, false);
  const publicJwk = { kty: "EC", crv: "P-256", x: base64url(point.subarray(1, 33)), y: base64url(point.subarray(33)) };
  const params = { name: "ECDH", namedCurve: "P-256" };
  return {
    privateKey: await crypto.subtle.importKey("jwk", { ...publicJwk, d: base64url(secret) }, params, false, ["deriveBits"]),
    publicKey: await crypto.subtle.importKey("jwk", publicJwk, params, true, []),
  };
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

export const kems: readonly Kem[] = [
  kem("mlkem768-x25519", KEM_MLKEM768_X25519, (secret) => MLKEM768X25519.getPublicKey(secret)),
  kem("mlkem768-p256", KEM_MLKEM768_P256, (secret) => MLKEM768P256.getPublicKey(secret)),
  kem("p256", KEM_DHKEM_P256_HKDF_SHA256, (secret) => p256.getPublicKey(secret, false), loadP256),
];

export function kemOf(number: number): Kem | undefined {
  return kems.find((kem) => kem.id === number);
}
