// The seat page of today's front end.

"use strict";

const { known, needs } = require("./network.js");
const { Screen } = require("./screen.js");

const HEARTBEAT_MS = 10_000;
const SEAT_STATUSES = ["available", "locked", "reserved"];

/** The hall. It never enters the waiting room; it only sends signs of life. */
class Seats extends Screen {
  people = null;
  standing = null;
  chosen = new Set();
  choices = new Map();
  live = false;

  async load() {
    await this.loadSeats();
    this.socket = this.network.socket({
      connect: () => this.join(),
      disconnect: () => this.changed({ live: false }),
      "room-info": ({ userCount }) => this.changed({ people: userCount }),
      "seat-selected": (seat) => this.heard(seat),
      "seats-released": (seat) => this.heard(seat),
      "seat-update": ({ holder, seats }) => {
        this.choices.set(holder, seats);
        this.render();
      },
    });
    await this.heartbeat();
    this.every(HEARTBEAT_MS, () => this.heartbeat());
  }

  async loadSeats() {
    const { event, seats } = await this.network.get(`/seats/events/${this.id}`);
    this.title = needs(event, "title").title;
    this.seats = new Map(seats.map((seat) => [needs(seat, "id", "seat_label", "price").id, seat]));
    seats.forEach((seat) => known(seat.status, SEAT_STATUSES));
  }

  async heartbeat() {
    const { status } = await this.network.post(`/queue/heartbeat/${this.id}`);
    this.changed({ standing: status });
  }

  join() {
    this.socket.emit("join-event", { eventId: this.id });
    this.socket.emit("join-seat-selection", { eventId: this.id }, () =>
      this.changed({ live: true })
    );
  }

  heard({ seatId, status }) {
    needs(this.seats.get(seatId), "seat_label").status = known(status, SEAT_STATUSES);
    if (status !== "available") this.chosen.delete(seatId);
    this.render();
  }

  changed(state) {
    Object.assign(this, state);
    this.render();
  }

  view() {
    const { people, live, standing } = this;
    const labels = (ids) => [...ids].map((id) => this.seats.get(id).seat_label).sort();
    const seats = [...this.seats.values()].map((seat) => [seat.seat_label, seat.status]);
    return {
      people,
      live,
      standing,
      seats: Object.fromEntries(seats),
      chosen: labels(this.chosen),
      chosenByOthers: labels([...this.choices.values()].flat()),
    };
  }

  /** Click on a seat, which chooses it or not any more. The other windows see it. */
  choose(label) {
    const [id] = [...this.seats].find(([, seat]) => seat.seat_label === label);
    if (!this.chosen.delete(id)) this.chosen.add(id);
    const seats = [...this.chosen];
    this.socket.emit("seat-selection-changed", { eventId: this.id, seats });
  }

  async hold() {
    const order = { eventId: this.id, seatIds: [...this.chosen] };
    const held = await this.tries(async () => {
      const { reservation } = await this.network.post("/seats/reserve", order);
      needs(reservation, "id", "reservationNumber", "totalAmount", "expiresAt");
      await this.page.go("reservation", reservation.id);
    });
    if (!held) await this.loadSeats();
  }

  /** Go through a tunnel. socket.io-client then connects again by itself. */
  loseConnection() {
    this.socket.io.engine.close();
  }

  async unload() {
    await super.unload();
    await this.leaveQueue();
  }
}

module.exports = { Seats };
