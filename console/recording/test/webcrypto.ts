// Node 18 keeps WebCrypto in a module; browsers and later versions have it at hand.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto as unknown as Crypto;
