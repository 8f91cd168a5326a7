// The screens of today's page, in the order in which a buyer meets them.

"use strict";

const { Dialog } = require("./dialog.js");
const { Seats } = require("./hall.js");
const { known, needs, vanish } = require("./network.js");
const { Screen } = require("./screen.js");

const SECOND_MS = 1000;

const EVENT_STATUSES = ["upcoming", "on_sale", "sold_out", "ended", "cancelled"];
const STATUSES = ["pending", "confirmed", "cancelled"];
const PAYMENT_STATUSES = ["pending", "completed", "failed", "refunded"];

/** The cards of the first page of the list, as searched for. */
class List extends Screen {
  constructor(page, query) {
    super(page);
    this.query = query;
  }

  async load() {
    const query = encodeURIComponent(this.query);
    const { events } = await this.network.get(`/events/?page=1&limit=10&q=${query}`);
    this.cards = events.map((event) => {
      needs(event, "id", "title", "venue", "event_date", "min_price", "max_price");
      known(event.status, EVENT_STATUSES);
      const { id, title, min_price: from, max_price: to } = event;
      return { id, title, price: from === to ? `${from}원` : `${from}원 ~ ${to}원` };
    });
  }

  view() {
    return { cards: this.cards };
  }

  click(id) {
    return this.page.go("detail", id);
  }
}

/** One event. It enters the waiting room by itself, and shows the dialog to whoever must wait. */
class Detail extends Screen {
  people = null;
  dialog = null;

  async load() {
    const { event, ticketTypes } = await this.network.get(`/events/${this.id}`);
    this.event = needs(event, "title", "venue", "event_date", "status");
    this.ticketTypes = ticketTypes.map((type) => needs(type, "id", "name", "available_quantity"));
    const place = await this.network.post(`/queue/check/${this.id}`);
    needs(place, "queued", "status", "position", "estimatedWait", "queueSize", "eventInfo");
    this.socket = this.network.socket({
      connect: () => this.socket.emit("join-event", { eventId: this.id }),
      "room-info": ({ userCount }) => {
        this.people = userCount;
        this.render();
      },
    });
    if (place.queued) this.openDialog(place);
  }

  openDialog(place) {
    this.dialog = new Dialog(this.network, this.id, place, {
      render: () => this.render(),
      admitted: () => this.page.go("seats", this.id),
    });
    this.dialog.connectAnew();
  }

  render() {
    super.render();
    if (this.isOpen) this.dialog?.connectAnew();
  }

  view() {
    const { event, people, dialog } = this;
    return { title: event.title, people, waiting: dialog ? dialog.view() : null };
  }

  chooseSeats() {
    return this.page.go("seats", this.id);
  }

  /** Buy so many tickets of the first type. */
  async buyTickets(quantity) {
    const items = [{ ticketTypeId: this.ticketTypes[0].id, quantity }];
    await this.tries(async () => {
      const answer = await this.network.post("/reservations/", { eventId: this.id, items });
      await this.page.go("reservation", needs(answer.reservation, "id", "expiresAt").id);
    });
  }

  leave() {
    this.dialog?.close((socket) => socket.disconnect());
    super.leave();
  }

  async unload() {
    this.dialog?.close(vanish);
    await super.unload();
    await this.leaveQueue();
  }
}

/** Check what every screen shows of a reservation, and return that. */
function reservationView(reservation, lines) {
  needs(reservation, "id", "reservation_number", "total_amount", "created_at", "event_title");
  const status = known(reservation.status, STATUSES);
  const payment = known(reservation.payment_status, PAYMENT_STATUSES);
  return { id: reservation.id, state: `${status} ${payment}`, lines };
}

/** The lines of a list, which have the name of a ticket type also where they are seats. */
function itemLines(items) {
  return items.map((item) => {
    needs(item, "ticketTypeName", "quantity");
    return `${item.ticketTypeName} ${item.quantity}매`;
  });
}

/** The lines of a hold: the label of a seat, or the name of a ticket type. */
function heldLines(seats) {
  return seats.map((line) => {
    needs(line, "price", "quantity");
    return line.seatLabel ?? `${needs(line, "ticketTypeName").ticketTypeName} ${line.quantity}매`;
  });
}

/** A hold with its count-down. The payment happens elsewhere, and loads the success page. */
class Reservation extends Screen {
  async load() {
    const { reservation } = await this.network.get(`/seats/reservation/${this.id}`);
    this.reservation = reservationView(reservation, heldLines(reservation.seats));
    this.end = Date.parse(needs(reservation, "expires_at").expires_at);
    this.every(SECOND_MS, () => this.render());
  }

  view() {
    return { ...this.reservation, secondsLeft: Math.ceil((this.end - Date.now()) / SECOND_MS) };
  }

  async cancel() {
    await this.tries(async () => {
      const { reservation } = await this.network.post(`/reservations/${this.id}/cancel`);
      known(reservation.status, STATUSES);
      await this.page.go("mine");
    });
  }
}

/** It sends no sign of life. */
class Success extends Screen {
  async load() {
    const { reservation } = await this.network.get(`/reservations/${this.id}`);
    this.reservation = reservationView(reservation, itemLines(reservation.items));
  }

  view() {
    return this.reservation;
  }
}

/** The person's reservations. */
class Mine extends Screen {
  async load() {
    const { reservations } = await this.network.get("/reservations/my");
    this.rows = reservations.map((one) => reservationView(one, itemLines(one.items)));
  }

  view() {
    return { rows: this.rows };
  }
}

module.exports = {
  list: List,
  detail: Detail,
  seats: Seats,
  reservation: Reservation,
  success: Success,
  mine: Mine,
};
