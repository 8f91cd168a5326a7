// Browsers by remote control: commands are JSON lines on stdin, what happens is JSON lines on
// stdout (tests/support/browser.py). One process holds many clients, each with a name.

"use strict";

const readline = require("node:readline");
const { io } = require("socket.io-client");
const { Seats } = require("./seats.js");

const clients = new Map();

/** Print one line; `at` is when it happened, in ms since 1970 with decimals. */
function say(client, name, args) {
  const at = performance.timeOrigin + performance.now();
  process.stdout.write(JSON.stringify({ client, name, args, at }) + "\n");
}

const commands = {
  /** Begin to connect, as the application does: io(url, options). */
  connect({ client, url, options }) {
    const socket = io(url, { forceNew: true, reconnectionDelay: 100, ...options });
    clients.set(client, { socket, seats: new Seats() });
    socket.on("connect", () =>
      say(client, "#connect", [socket.id, socket.io.engine.transport.name])
    );
    socket.io.on("open", () =>
      socket.io.engine.on("upgrade", (transport) => say(client, "#upgrade", [transport.name]))
    );
    socket.on("connect_error", (error) =>
      say(client, "#connect_error", [error.message, error.data ?? null])
    );
    socket.on("disconnect", (reason) => say(client, "#disconnect", [reason]));
    socket.io.on("reconnect", (attempt) => say(client, "#reconnect", [attempt]));
    const { seats } = clients.get(client);
    socket.on("seat-locked", (seat) => seats.heard(seat));
    socket.on("seat-released", (seat) => seats.heard(seat));
    socket.onAny((name, ...args) => say(client, name, args));
  },

  /** Emit with an acknowledgement, which is told under the command's number. */
  emit({ client, number, event, args }) {
    const { socket, seats } = clients.get(client);
    socket.timeout(20_000).emit(event, ...args, (error, answer) => {
      if (event === "join-seat-selection" && !error && answer.success) seats.joined(answer);
      say(client, "#answer", [number, error ? error.message : null, answer ?? null]);
    });
  },

  /** Emit without one; {binary: hex} stands for bytes. */
  send({ client, event, args }) {
    const values = args.map((value) => (value?.binary ? Buffer.from(value.binary, "hex") : value));
    clients.get(client).socket.emit(event, ...values);
  },

  /** Tell the state of its seats. */
  seats({ client, number }) {
    say(client, "#answer", [number, null, clients.get(client).seats.shown()]);
  },

  /** Lose the connection, as in a tunnel; socket.io-client then connects again by itself. */
  drop({ client }) {
    clients.get(client).socket.io.engine.close();
  },

  /** Leave for good. */
  close({ client }) {
    clients.get(client).socket.disconnect();
  },
};

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.op](command);
  })
  .on("close", () => process.exit(0));
