import "./webcrypto.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { KEM_MLKEM768_P256, KEM_MLKEM768_X25519 } from "@panva/hpke-noble";
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { kems } from "../src/hpke.js";
import { Random } from "./random.js";

for (const [i, factory] of [KEM_MLKEM768_X25519, KEM_MLKEM768_P256, KEM_DHKEM_P256_HKDF_SHA256].entries()) {
  const kem = kems[i]!;

  test(`${kem.name} opens what was sealed to its public key`, async () => {
    const random = new Random(i);
    const secret = random.bytes(kem.privateSize);
    const info = random.bytes(40);
    const suite = new CipherSuite<any>(factory, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
    const publicKey = kem.publicOf(secret);
    assert.equal(publicKey.length, kem.publicSize);
    const sealed = await suite.Seal(await suite.DeserializePublicKey(publicKey), random.bytes(32), { info });
    assert.equal(sealed.encapsulatedSecret.length, kem.encSize);

    const enc = Uint8Array.from(sealed.encapsulatedSecret);
    const box = Uint8Array.from(sealed.ciphertext);
    const opened = await kem.open(await kem.load(secret), enc, info, box);
    assert.equal(opened.length, 32);
    await assert.rejects(kem.load(random.bytes(kem.privateSize)).then((other) => kem.open(other, enc, info, box)));
    await assert.rejects(kem.load(secret).then((key) => kem.open(key, enc, random.bytes(40), box)));
  });
}
