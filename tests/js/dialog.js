// The waiting dialog of today's page.
//
// It has a socket of its own, and opens another one with every render of the page around it: its
// count-down renders each second, and so does each room-info. Each round connects, joins the line,
// hears the first answer and closes, and asks for the status twice.

"use strict";

const { Misfit, needs } = require("./network.js");

const SECOND_MS = 1000;

class Dialog {
  /** `render` draws the page again, `admitted` moves on to the seats. */
  constructor(network, eventId, place, { render, admitted }) {
    this.network = network;
    this.eventId = eventId;
    this.place = place;
    this.admitted = admitted;
    this.rounds = 0;
    this.closed = false;
    this.countDown = setInterval(render, SECOND_MS);
  }

  view() {
    const { position, queueSize, estimatedWait } = this.place;
    return { position, queueSize, estimatedWait, rounds: this.rounds };
  }

  /** The page around it was rendered. */
  connectAnew() {
    this.socket?.disconnect();
    const socket = this.network.socket({
      connect: () => {
        socket.emit("join-queue", { eventId: this.eventId }, (answer) => {
          this.rounds += 1;
          this.#stands(answer);
          this.#ask();
        });
      },
      "queue-updated": ({ queueSize }) => (this.place = { ...this.place, queueSize }),
      "queue-entry-allowed": ({ eventId }) => eventId === this.eventId && this.#enter(),
    });
    this.socket = socket;
    this.#ask();
  }

  /** `end` closes the socket. */
  close(end) {
    this.closed = true;
    clearInterval(this.countDown);
    if (this.socket) end(this.socket);
  }

  async #ask() {
    if (!this.closed) this.#stands(await this.network.get(`/queue/status/${this.eventId}`));
  }

  #stands(place) {
    if (this.closed) return;
    needs(place, "queued", "status", "position", "estimatedWait", "queueSize");
    if (place.status === "active") return this.#enter();
    if (place.status !== "queued") throw new Misfit(`lost the place: ${JSON.stringify(place)}`);
    this.place = place;
  }

  #enter() {
    if (this.closed) return;
    this.close((socket) => socket.disconnect());
    this.admitted();
  }
}

module.exports = { Dialog };
