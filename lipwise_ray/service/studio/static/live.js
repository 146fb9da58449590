// A video that is still being rendered: HLS by the browser where it can, else its parts one by one (Media Source).

const HLS = "application/vnd.apple.mpegurl";
const AGAIN_MS = 1500;

const later = (ms) => new Promise((done) => setTimeout(done, ms));

/** The codecs of a part's head as browsers name them: H.264 and AAC, which the parts of a compatible video have. */
function codecsOf(head) {
  const bytes = new Uint8Array(head);
  const text = new TextDecoder("latin1").decode(bytes);
  const at = text.indexOf("avcC");
  if (at < 0) return null;
  const hex = [...bytes.subarray(at + 5, at + 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const sound = text.includes("mp4a") ? ", mp4a.40.2" : text.includes("Opus") ? ", opus" : "";
  return `video/mp4; codecs="avc1.${hex}${sound}"`;
}

export class LiveVideo {
  /**
   * @param {HTMLVideoElement} video shows it.
   * @param {HTMLElement} note says in words what cannot be shown.
   * @param {string} address of the playlist.
   */
  constructor(video, note, address) {
    this.video = video;
    this.note = note;
    this.address = new URL(address, location.href);
    this.hasBegun = false;
    this.isLost = false;
    video.addEventListener("error", () => this.fail());
    video.addEventListener("loadedmetadata", () => this.show());
  }

  get isWatched() {
    return this.hasBegun && !this.video.paused && !this.video.ended;
  }

  /** Shows what there is; nothing happens before the playlist is there, nor once it is shown. */
  async begin() {
    if (this.hasBegun) return;
    const answer = await fetch(this.address).catch(() => null);
    if (!answer?.ok || this.hasBegun) return;
    this.hasBegun = true;
    if (this.video.canPlayType(HLS)) this.video.src = this.address;
    else await this.load(await answer.text());
  }

  /** The element comes once it has a picture: whoever presses play before a second attempt at loading would be cut off. */
  show() {
    if (this.isLost) return;
    this.video.hidden = false;
    this.note.textContent = "What is rendered so far; it goes on as parts are done.";
  }

  fail() {
    if (!this.hasBegun || this.isLost) return;
    if (this.video.currentSrc.startsWith("blob:") || !window.MediaSource) this.giveUp();
    else fetch(this.address).then(async (answer) => (answer.ok ? this.load(await answer.text()) : this.giveUp()), () => this.giveUp());
  }

  giveUp() {
    this.isLost = true;
    this.video.hidden = true;
    this.note.textContent = "This browser cannot show what is rendered so far; the whole video can be played or saved at the end.";
  }

  /** Feeds the parts to the video element, in order, as they come. */
  async load(playlist) {
    const head = /URI="([^"]+)"/.exec(playlist)?.[1];
    const first = await fetch(new URL(head, this.address)).then((answer) => answer.arrayBuffer());
    const type = codecsOf(first);
    if (!window.MediaSource || !type || !MediaSource.isTypeSupported(type)) return this.giveUp();
    const source = new MediaSource();
    this.video.src = URL.createObjectURL(source);
    await new Promise((done) => source.addEventListener("sourceopen", done, { once: true }));
    const buffer = source.addSourceBuffer(type);
    buffer.timestampOffset = -1; // times in the parts begin at one second
    const add = (data) =>
      new Promise((done, refused) => {
        buffer.addEventListener("updateend", done, { once: true });
        buffer.addEventListener("error", refused, { once: true });
        buffer.appendBuffer(data);
      });
    try {
      await add(first);
      const added = new Set();
      while (source.readyState === "open") {
        for (const name of playlist.split("\n").filter((line) => line && !line.startsWith("#"))) {
          if (added.has(name)) continue;
          const part = await fetch(new URL(name, this.address));
          if (!part.ok) return source.endOfStream();
          await add(await part.arrayBuffer());
          added.add(name);
        }
        if (playlist.includes("#EXT-X-ENDLIST")) {
          source.endOfStream();
          return;
        }
        await later(AGAIN_MS);
        const answer = await fetch(this.address);
        if (!answer.ok) return source.endOfStream(); // the row has ended: what was fetched plays to its end
        playlist = await answer.text();
      }
    } catch {
      this.giveUp();
    }
  }
}
