// What the screens of today's page have in common: their socket, their timers and their alert.

"use strict";

const { Refusal, vanish } = require("./network.js");

class Screen {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.timers = [];
  }

  get network() {
    return this.page.network;
  }

  every(ms, work) {
    this.timers.push(setInterval(work, ms));
  }

  /** What arrives before a screen is complete, or after it, draws nothing. */
  get isOpen() {
    return this.page.screen === this;
  }

  render() {
    if (this.isOpen) this.page.render();
  }

  /** Show the work's refusal in an alert. Return whether there was none. */
  async tries(work) {
    try {
      await work();
      return true;
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      this.page.alert = refusal.message;
      return false;
    }
  }

  /** Move on inside the page: the screen says so. */
  leave() {
    this.timers.forEach(clearInterval);
    if (!this.socket) return;
    this.socket.emit("leave-event", { eventId: this.id });
    this.socket.disconnect();
  }

  /** Load another page, or this one again: it says nothing in its rooms. */
  async unload() {
    this.timers.forEach(clearInterval);
    if (this.socket) vanish(this.socket);
  }

  /** What a closing page of the sale sends. In a browser it arrives before the next page runs. */
  leaveQueue() {
    return this.network.post(`/queue/leave/${this.id}`);
  }
}

module.exports = { Screen };
