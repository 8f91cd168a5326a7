// The front end of today: windows of people who buy, driven from tests/support/page.py.
//
// What is modelled is what the service notices: which calls the page makes, in which order and
// spelling, when it polls, when it connects anew, what it says when it moves on inside the page
// and what when it is loaded again (screens.js, hall.js, dialog.js), how the gateway passes its
// calls on, and what it needs in an answer (network.js). Nothing is drawn: a window tells what it
// would show. Whatever the page could not live with ends the process with an error.
//
// Commands are JSON lines on stdin: {window, number, action, args}. On stdout, {window, shown}
// is what a window shows now, and {done: number} follows the end of a command.

"use strict";

const readline = require("node:readline");
const { Network } = require("./network.js");
const screens = require("./screens.js");

const [, , url] = process.argv;
const windows = new Map();

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

class Page {
  alert = null;

  constructor(name, token) {
    this.name = name;
    this.network = new Network(url, token);
  }

  /** Load a screen as from the address bar. */
  async load(...address) {
    await this.screen?.unload();
    await this.#open(address);
  }

  /** Load the same screen again (F5). */
  async reload() {
    await this.load(...this.address);
  }

  /** Move on to a screen inside the page. */
  async go(...address) {
    this.screen.leave();
    await this.#open(address);
  }

  /** Tell what the window shows. */
  render() {
    const [screen] = this.address;
    say({ window: this.name, shown: { screen, alert: this.alert, ...this.screen.view() } });
  }

  async #open([name, ...args]) {
    const screen = new screens[name](this, ...args);
    await screen.load();
    this.address = [name, ...args];
    this.screen = screen;
    this.render();
  }
}

/** Do what a person does in a window: load, reload, go, or what the screen offers. */
async function act({ window, number, action, args }) {
  const page = windows.get(window);
  page.alert = null;
  await (page[action] ? page[action](...args) : page.screen[action](...args));
  page.render();
  say({ done: number });
}

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { token, ...command } = JSON.parse(line);
    if (token) windows.set(command.window, new Page(command.window, token));
    else act(command);
  })
  .on("close", () => process.exit(0));
