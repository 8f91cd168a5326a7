// The seats of one event as a browser keeps them, by the catch-up recipe: the answer of
// join-seat-selection is the state, every seat-locked and seat-released is applied to it, and
// its version must then be what the service says.

"use strict";

/** CRC-32 (IEEE) of an ASCII string. */
function crc32(text) {
  let crc = ~0;
  for (let at = 0; at < text.length; at++) {
    crc ^= text.charCodeAt(at);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

class Seats {
  constructor() {
    this.taken = new Map();
    /** What contradicts what was heard before: a status told twice. */
    this.repeats = [];
  }

  /** Eight hex digits: the CRC-32 of "seatId:status" of all seats that are not available, XORed. */
  version() {
    let version = 0;
    for (const [seatId, status] of this.taken) version ^= crc32(`${seatId}:${status}`);
    return (version >>> 0).toString(16).padStart(8, "0");
  }

  /** The answer of join-seat-selection; without seats where the version is the same. */
  joined(answer) {
    if (answer.seats) this.taken = new Map(answer.seats.map((seat) => [seat.seatId, seat.status]));
  }

  /** A seat-locked or seat-released. */
  heard({ seatId, status }) {
    if ((this.taken.get(seatId) ?? "available") === status) this.repeats.push({ seatId, status });
    if (status === "available") this.taken.delete(seatId);
    else this.taken.set(seatId, status);
  }

  shown() {
    return {
      seats: Object.fromEntries(this.taken),
      version: this.version(),
      repeats: this.repeats,
    };
  }
}

module.exports = { Seats };
