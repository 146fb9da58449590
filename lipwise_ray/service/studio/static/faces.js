// The faces of a frame on its picture: numbered, and pressed to choose one.

const WAIT_MS = 250;

export class Faces {
  /**
   * @param {HTMLFormElement} form has the still and the slider.
   * @param {(atS: number | null) => Promise<object>} ask returns what the server found; null: where it finds a face.
   * @param {(rule: string, words: string) => void} onChoice is told of a face that was pressed.
   * @param {(atS: number) => void} onMoment is told of the moment that is shown.
   */
  constructor(form, ask, onChoice, onMoment) {
    this.box = form.querySelector("#still");
    this.image = this.box.querySelector('[data-part="still"]');
    this.group = this.box.querySelector(".faces");
    this.moment = form.querySelector("#moment");
    this.told = this.box.querySelector('[data-part="moment"]');
    this.says = form.querySelector("#faces-say");
    this.ask = ask;
    this.onChoice = onChoice;
    this.onMoment = onMoment;
    this.chosen = "";
    this.moment.addEventListener("input", () => {
      this.told.textContent = `${Number(this.moment.value).toFixed(2)} s`;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.show(Number(this.moment.value)), WAIT_MS);
    });
  }

  clear() {
    this.latest = null;
    this.box.hidden = true;
    this.says.textContent = "The faces are shown once the video is here.";
  }

  async show(atS = null) {
    const mine = (this.latest = {});
    this.says.textContent = "Looking for faces …";
    try {
      const found = await this.ask(atS);
      if (this.latest === mine) this.draw(found);
    } catch (error) {
      if (this.latest === mine) this.says.textContent = error.message;
    }
  }

  draw(found) {
    this.image.src = found.still;
    this.box.hidden = false;
    this.moment.max = Math.max(0, found.seconds - 0.001);
    this.moment.value = found.at_s;
    this.told.textContent = `${found.at_s.toFixed(2)} s`;
    this.onMoment(found.at_s);
    this.moment.closest("#still").querySelectorAll("label, #moment").forEach((one) => (one.hidden = found.seconds <= 0.1));
    this.group.querySelectorAll("button").forEach((one) => one.remove());
    found.boxes.forEach(([left, top, right, bottom], number) => {
      const rule = `at:${found.frame},${Math.round((left + right) / 2)},${Math.round((top + bottom) / 2)}`;
      const words = `face ${number + 1} at ${found.at_s} s`;
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Face ${number + 1} of ${found.boxes.length}`);
      button.setAttribute("aria-pressed", String(rule === this.chosen));
      const label = document.createElement("span");
      label.textContent = number + 1;
      button.append(label);
      const { style } = button;
      style.left = `${(100 * left) / found.width}%`;
      style.top = `${(100 * top) / found.height}%`;
      style.width = `${(100 * (right - left)) / found.width}%`;
      style.height = `${(100 * (bottom - top)) / found.height}%`;
      button.addEventListener("click", () => {
        this.mark(rule);
        this.onChoice(rule, words);
      });
      button.dataset.rule = rule;
      this.group.append(button);
    });
    const count = found.boxes.length;
    this.says.textContent = count ? `${count} ${count === 1 ? "face" : "faces"} at ${found.at_s} s.` : "No face in this picture. Move the slider to a moment with one.";
  }

  mark(rule) {
    this.chosen = rule;
    this.group.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.rule === rule)));
  }
}
