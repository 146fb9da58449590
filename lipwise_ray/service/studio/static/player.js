// Two videos on one clock: the original and the dubbed one, beside each other or divided by a wipe.
//
// The dubbed video leads. The original follows it along `clock`, pairs of seconds (dubbed, original) between which both
// run evenly; small drifts are made up by its speed, large ones by a seek.

import { onKey, say } from "./studio.js";

const SEEK_BEYOND_S = 0.25;
const NUDGE = 0.06;

/** The original's time for a time of the dubbed video, in seconds. */
export function originalTime(clock, seconds) {
  if (!clock.length) return seconds;
  let low = 0;
  let high = clock.length - 1;
  if (seconds <= clock[0][0]) return clock[0][1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (clock[middle][0] <= seconds) low = middle;
    else high = middle;
  }
  const [from, source] = clock[low];
  const [to, next] = clock[high];
  if (seconds >= to) return next + (high === clock.length - 1 ? seconds - to : 0);
  return to > from ? source + ((seconds - from) * (next - source)) / (to - from) : source;
}

/** The speed of the original at a time of the dubbed video, 1 for as filmed. */
function speedAt(clock, seconds) {
  const ahead = originalTime(clock, seconds + 0.1) - originalTime(clock, seconds);
  return Math.abs(ahead) / 0.1;
}

export class Player {
  /**
   * @param {HTMLElement} root holds two videos (`data-video="before"`, `"after"`), the buttons and the seek bar.
   */
  constructor(root) {
    this.root = root;
    this.fps = 25;
    this.clock = [];
    this.after = root.querySelector('[data-video="after"]');
    this.before = root.querySelector('[data-video="before"]');
    this.bar = root.querySelector('[data-part="seek"]');
    this.curve = root.querySelector('[data-part="curve"]');
    this.readout = root.querySelector('[data-part="time"]');
    this.loop = null;
    this.heard = "after";
    this.wire();
    this.hear("after");
    this.follow();
  }

  /** @param {{fps: number, clock: number[][]}} facts of the dubbed video. */
  setClock({ fps, clock }) {
    if (fps > 0) this.fps = fps;
    this.clock = clock;
    if (!this.isPlaying) this.align();
    this.show();
  }

  get isPlaying() {
    return !this.after.paused;
  }

  button(name) {
    return this.root.querySelector(`[data-do="${name}"]`);
  }

  wire() {
    const acts = {
      play: () => this.toggle(),
      back: () => this.step(-1),
      on: () => this.step(1),
      loop: () => this.setLoop(),
      mode: () => this.setMode(this.root.dataset.mode === "wipe" ? "side" : "wipe"),
      sound: () => this.hear(this.heard === "after" ? "before" : "after"),
    };
    for (const [name, act] of Object.entries(acts)) this.button(name)?.addEventListener("click", act);
    onKey(" ", acts.play);
    onKey("k", acts.play);
    onKey(",", acts.back);
    onKey(".", acts.on);
    onKey("l", acts.loop);
    onKey("w", acts.mode);
    onKey("m", acts.sound);
    onKey("ArrowLeft", () => this.seek(this.after.currentTime - 1));
    onKey("ArrowRight", () => this.seek(this.after.currentTime + 1));
    this.bar.addEventListener("input", () => this.seek(Number(this.bar.value)));
    this.after.addEventListener("loadedmetadata", () => this.measured());
    if (this.after.readyState > 0) this.measured();
    this.before?.addEventListener("loadedmetadata", () => this.align());
    this.before?.addEventListener("error", () => this.loseOriginal());
    this.after.addEventListener("ended", () => this.before?.pause());
    this.curve?.addEventListener("pointerdown", (event) => this.scrub(event));
    this.curve?.addEventListener("pointermove", (event) => event.buttons & 1 && this.scrub(event));
    for (const link of this.root.querySelectorAll("[data-seek]")) link.addEventListener("click", () => this.seek(Number(link.dataset.seek)));
    const wipe = this.root.querySelector('[data-part="wipe"]');
    wipe?.addEventListener("input", () => this.setWipe(Number(wipe.value)));
    if (wipe) this.setWipe(Number(wipe.value));
  }

  measured() {
    this.bar.max = String(this.after.duration);
    this.show();
  }

  /** The browser may not play what was filmed: the dubbed video then stands alone. */
  loseOriginal() {
    this.root.dataset.mode = "alone";
    this.before.hidden = true;
    this.before = null;
    for (const name of ["mode", "sound"]) this.button(name)?.setAttribute("disabled", "");
    say("This browser cannot play the original; the dubbed video is shown alone.");
  }

  async toggle() {
    if (this.isPlaying) {
      this.after.pause();
      this.before?.pause();
      this.align();
      return;
    }
    this.align();
    await Promise.allSettled([this.after.play(), this.before?.play()]);
  }

  /** Goes to the middle of a frame some frames away, so that no rounding shows a neighbour. */
  step(frames) {
    this.after.pause();
    this.before?.pause();
    const now = Math.floor(this.after.currentTime * this.fps + 1e-6);
    const last = Math.max(0, Math.ceil((this.after.duration || 0) * this.fps) - 1);
    const wanted = Math.min(last, Math.max(0, now + frames));
    this.seek((wanted + 0.5) / this.fps);
  }

  seek(seconds) {
    const end = this.after.duration || 0;
    this.after.currentTime = Math.min(Math.max(0, seconds), end);
    this.align();
    this.show();
  }

  /** Goes to the moment of the course at which the pointer is. */
  scrub(event) {
    const { left, width } = this.curve.getBoundingClientRect();
    if (event.type === "pointerdown") this.curve.setPointerCapture(event.pointerId);
    this.seek(((event.clientX - left) / width) * (this.after.duration || 0));
  }

  /** Puts the original where the dubbed video is. */
  align() {
    if (this.before) this.before.currentTime = originalTime(this.clock, this.after.currentTime);
  }

  hear(which) {
    this.heard = which;
    this.after.muted = which !== "after";
    if (this.before) this.before.muted = which !== "before";
    const button = this.button("sound");
    if (button) button.textContent = which === "after" ? "Sound: dubbed" : "Sound: original";
  }

  setMode(mode) {
    this.root.dataset.mode = mode;
    this.button("mode")?.setAttribute("aria-pressed", String(mode === "wipe"));
  }

  setWipe(share) {
    this.root.style.setProperty("--wipe", `${share}%`);
  }

  /** The first press marks where the loop begins, the second where it ends, the third lifts it. */
  setLoop() {
    const now = this.after.currentTime;
    const button = this.button("loop");
    if (!this.loop) {
      this.loop = [now, null];
      button.textContent = "Loop ends here";
    } else if (this.loop[1] === null && now > this.loop[0]) {
      this.loop[1] = now;
      button.textContent = "No loop";
    } else {
      this.loop = null;
      button.textContent = "Loop from here";
    }
    button.setAttribute("aria-pressed", String(Boolean(this.loop)));
  }

  show() {
    const now = this.after.currentTime;
    this.bar.value = String(now);
    this.curve?.style.setProperty("--at", `${(100 * now) / (this.after.duration || 1)}%`);
    this.bar.setAttribute("aria-valuetext", `${now.toFixed(2)} seconds`);
    const frame = Math.floor(now * this.fps + 1e-6);
    this.readout.textContent = `${now.toFixed(2)} s · frame ${frame}`;
    this.root.dataset.playing = String(this.isPlaying);
    const play = this.button("play");
    play.textContent = this.isPlaying ? "Pause" : "Play";
  }

  follow() {
    const tick = () => {
      if (!this.root.isConnected) return;
      const now = this.after.currentTime;
      if (this.loop?.[1] && now >= this.loop[1]) this.seek(this.loop[0]);
      if (this.before && this.isPlaying && !this.before.seeking) {
        const wanted = originalTime(this.clock, now);
        const drift = this.before.currentTime - wanted;
        const speed = Math.max(0.1, speedAt(this.clock, now)) * this.after.playbackRate;
        if (Math.abs(drift) > SEEK_BEYOND_S) this.before.currentTime = wanted;
        else if (Math.abs(drift) > 0.25 / this.fps) this.before.playbackRate = speed * (drift > 0 ? 1 - NUDGE : 1 + NUDGE);
        else this.before.playbackRate = speed;
        if (this.before.paused && !this.before.ended) this.before.play().catch(() => {});
      }
      if (this.isPlaying || this.root.dataset.playing === "true") this.show();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
}
