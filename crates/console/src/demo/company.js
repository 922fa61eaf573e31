"use strict";

/** How many members are shown by name. */
const NAMED = 12;

/** Who is in the topic: a snapshot, then differences that join it without a race, because both carry revisions. */
class Company {
  constructor(element) {
    this.element = element;
    this.members = new Map();
    this.count = 0;
    this.rev = 0;
    /** Our own id among the members. */
    this.self = null;
    this.name = `guest ${Math.floor(Math.random() * 1000)}`;
  }

  /** Takes a `presence` frame: a snapshot, a difference, or only how many there are. */
  take({ rev, prev, count, state, members, join = [], update = [], leave = [] }) {
    if (state === "occupancy") {
      this.members.clear();
    } else if (members) {
      this.members = new Map(members.map((member) => [member.id, member]));
    } else if (prev !== undefined && rev > this.rev) {
      for (const member of [...join, ...update]) this.members.set(member.id, member);
      for (const member of leave) this.members.delete(member.id);
    } else {
      // The answer to our own entering, or what the snapshot has already.
      return;
    }
    this.rev = rev;
    this.count = count;
    this.show();
  }

  /** The connection is gone: nobody is known to be there. */
  forget() {
    this.members.clear();
    this.rev = 0;
    this.count = 0;
    this.element.textContent = "";
  }

  show() {
    const names = [...this.members.values()].slice(0, NAMED).map((member) => {
      const name = member.data?.name ?? member.user ?? "somebody";
      return member.id === this.self ? `${name} (you)` : name;
    });
    const others = this.count - names.length;
    if (others > 0) names.push(names.length ? `${others} more` : String(others));
    this.element.textContent = names.length ? `Here now: ${names.join(", ")}` : "";
  }
}
