// What today's page sends and hears, and what it cannot live with.

"use strict";

const http = require("node:http");
const { io } = require("socket.io-client");

/** The address of the shop in the browser. */
const ORIGIN = "https://tickets.example";

/** As the gateway waits: so long for the whole answer. */
const TIMEOUT_MS = 10_000;

/** The service says no; the page shows its sentence in an alert. */
class Refusal extends Error {}

/** The page would break, or show something blank. It ends the process. */
class Misfit extends Error {}

/** Return the object. All these fields are shown, so none may be missing. */
function needs(shown, ...fields) {
  for (const field of fields) {
    if (shown?.[field] === undefined || shown[field] === null) {
      throw new Misfit(`no ${field} in ${JSON.stringify(shown)}`);
    }
  }
  return shown;
}

/** Return the value, which must be one of those that the page knows. */
function known(value, values) {
  if (!values.includes(value)) throw new Misfit(`${value} is none of ${values}`);
  return value;
}

/** The connections of one logged-in person. */
class Network {
  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  get(path) {
    return this.#call("GET", path);
  }

  post(path, body = {}) {
    return this.#call("POST", path, JSON.stringify(body));
  }

  /** Open a socket of its own. Handlers are those of socket.io-client, by event. */
  socket(handlers) {
    const socket = io(this.url, {
      auth: { token: this.token },
      transports: ["websocket", "polling"],
      extraHeaders: { origin: ORIGIN },
      forceNew: true,
    });
    for (const [event, handle] of Object.entries(handlers)) socket.on(event, handle);
    socket.on("connect_error", (error) => {
      throw new Misfit(`no socket: ${error.message}`);
    });
    return socket;
  }

  /** Send it as the gateway does, on a connection of its own. Throw a Refusal or a Misfit. */
  async #call(method, path, body) {
    const headers = {
      host: "ticket-service:3002",
      origin: ORIGIN,
      accept: "application/json, text/plain, */*",
      "accept-language": "ko-KR,ko;q=0.9,en;q=0.8",
      authorization: `Bearer ${this.token}`,
      ...(body && {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      }),
    };
    const { status, type, origin, text } = await exchange(
      `${this.url}/api${path}`,
      { method, headers, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) },
      body
    );
    const seen = `${method} ${path}: ${status} ${text.slice(0, 500)}`;
    if (status >= 300 && status < 400) throw new Misfit(`a redirect, ${seen}`);
    if (!type?.startsWith("application/json")) throw new Misfit(`no JSON but ${type}, ${seen}`);
    if (origin !== ORIGIN) throw new Misfit(`kept from the page by the browser, ${seen}`);
    const answer = JSON.parse(text);
    if (status >= 500) throw new Misfit(seen);
    if (status >= 400) throw new Refusal(needs(answer, "error").error);
    return answer;
  }
}

function exchange(url, options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, options, async (response) => {
      try {
        resolve({
          status: response.statusCode,
          type: response.headers["content-type"],
          origin: response.headers["access-control-allow-origin"],
          text: Buffer.concat(await response.toArray()).toString(),
        });
      } catch (error) {
        reject(error);
      }
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** Close a socket as a browser does that leaves the page: without a word. */
function vanish(socket) {
  socket.io.reconnection(false);
  socket.io.engine.close();
}

module.exports = { Misfit, Network, Refusal, known, needs, vanish };
