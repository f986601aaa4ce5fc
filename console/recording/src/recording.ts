/**
 * Reads and verifies recordings in a browser, by recording/FORMAT.md: a second reader, written from that page. A recording is opened here, with the owner's private
 * key; nothing in this package sends anything anywhere. It takes hostile bytes: what does not fit throws a RecordingError, and no size in a recording is believed
 * before it is checked against its bound. It needs WebCrypto, and runs under Node 18 too where globalThis.crypto is set.
 *
 * @module
 */
export type { Entry, Kind, Place } from "./entry.js";
export * from "./errors.js";
export { type Header, parseHeader, type Slot } from "./header.js";
export { fromCryptoKeys, type LockedKey, parseLockedKey, parsePrivateKey, type PrivateKey } from "./keys.js";
export { type Manifest, parseManifest, type Segment, segmentAt } from "./manifest.js";
export { openRecording, type OpenOptions, openSegment, type Recording, type SegmentStart } from "./reader.js";
export type { Source } from "./source.js";
export { type Report, verify, type VerifyOptions } from "./verify.js";
export type { End } from "./walk.js";
