// SPDX-License-Identifier: Apache-2.0
// The demo's page without this script has its tables, pictures and sounds; with it one can ask.
(() => {
    "use strict";
    const data = JSON.parse(document.getElementById("data").textContent);
    const count = data.concepts.length;
    const { make, svg, prepareTheme } = onepeacePage;
    const by = (id) => document.getElementById(id);
    const WORD = { image: "picture", audio: "sound", text: "word" };

    // --- Scores ------------------------------------------------------------------------------

    const PAIRS = [["image", "text"], ["audio", "text"], ["audio", "image"]];
    const ranges = data.scores.map((scores) => {
        let low = Infinity, high = -Infinity;
        for (const score of scores) {
            low = Math.min(low, score);
            high = Math.max(high, score);
        }
        return [low, high];
    });
    const pairOf = (a, b) => PAIRS.findIndex((pair) => pair.includes(a) && pair.includes(b));
    function score(fromKind, from, toKind, to) {
        const pair = pairOf(fromKind, toKind);
        return data.scores[pair][fromKind === PAIRS[pair][0] ? from * count + to : to * count + from];
    }
    // Where a score lies between the lowest and the highest of its two kinds.
    function part(a, b, value) {
        const [low, high] = ranges[pairOf(a, b)];
        return high > low ? (value - low) / (high - low) : 1;
    }
    const order = (scores) => scores.map((value, i) => [value, i]).sort((a, b) => b[0] - a[0]);

    // --- Things ------------------------------------------------------------------------------

    function picture(concept, alt) {
        const original = by("p" + concept);
        if (!original) return make("span", { className: "name" }, data.concepts[concept].name);
        return make("img", { src: original.src, alt });
    }

    function wave(concept) {
        let path = "";
        [...data.concepts[concept].wave].forEach((digit, i) => {
            const height = parseInt(digit, 36);
            path += `M${3 * i + 1}.5 ${19 - height / 2}v${2 + height}`;
        });
        const width = 3 * data.concepts[concept].wave.length;
        return svg("svg", { class: "wave", viewBox: `0 0 ${width} 40`, preserveAspectRatio: "none",
                            "aria-hidden": "true" }, svg("path", { d: path }));
    }

    function label(button) {
        const on = button.classList.contains("on");
        const name = data.concepts[button.dataset.play].name;
        button.setAttribute("aria-label", `${on ? "Stop" : "Play"} the sound of ${name}`);
    }

    function buttonsOf(concept) {
        return document.querySelectorAll(`[data-play="${concept}"]`);
    }

    function stopOthers(concept) {
        document.querySelectorAll("audio").forEach((audio) => {
            if (audio.id !== "s" + concept && !audio.paused) audio.pause();
        });
    }

    function toggle(concept) {
        const audio = by("s" + concept);
        if (!audio.paused) {
            audio.pause();
            return;
        }
        stopOthers(concept);
        audio.currentTime = 0;
        audio.play().catch(() => show(concept, false));
    }

    function show(concept, on) {
        buttonsOf(concept).forEach((button) => {
            button.classList.toggle("on", on);
            label(button);
        });
    }

    // A button for a sound, or nothing where the page does not hold it.
    function play(concept) {
        const audio = by("s" + concept);
        if (!audio) return null;
        const icon = svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" },
            svg("path", { class: "go", d: "M2 0.5 9.5 5 2 9.5z" }),
            svg("path", { class: "stop", d: "M1 1h8v8H1z" }));
        const button = make("button", { type: "button", className: "play" }, icon);
        button.dataset.play = concept;
        button.classList.toggle("on", !audio.paused);
        label(button);
        button.addEventListener("click", () => toggle(concept));
        return button;
    }

    function prepareSounds() {
        document.querySelectorAll("td.sound audio").forEach((audio) => {
            const concept = Number(audio.id.slice(1));
            audio.controls = false;
            audio.addEventListener("play", () => show(concept, true));
            ["pause", "ended", "error"].forEach((event) =>
                audio.addEventListener(event, () => show(concept, false)));
            audio.after(play(concept));
        });
        document.querySelectorAll("[data-sound]").forEach((place) =>
            place.prepend(play(Number(place.dataset.sound)) || ""));
        const first = document.querySelector("#trio .audio");
        first.append(play(data.shown[0]) || "");
    }

    // --- Asking ------------------------------------------------------------------------------

    const asked = { kind: "image", concept: data.shown[0] };

    function bar(width) {
        return svg("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none",
                            "aria-hidden": "true" },
            svg("rect", { width: (100 * Math.max(0, Math.min(1, width))).toFixed(1), height: 4 }));
    }

    function thing(kind, concept) {
        if (kind === "image") return picture(concept, "");
        return play(concept) || wave(concept);
    }

    function answer(kind, place, concept, value) {
        const right = concept === asked.concept;
        return make("li", { className: (right ? "right" : "") + (place > 5 ? " later" : "") },
            make("span", { className: "place" }, String(place)),
            kind === "text" ? null : make("span", { className: "thing" }, thing(kind, concept)),
            make("div", null,
                make("div", { className: "line" },
                    make("span", { className: "name" }, data.concepts[concept].name),
                    right ? make("span", { className: "mark" }, "right answer") : null),
                bar(part(asked.kind, kind, value))),
            make("span", { className: "score" }, value.toFixed(3)));
    }

    function answers(kind) {
        const scores = data.concepts.map((_, i) => score(asked.kind, asked.concept, kind, i));
        const sorted = order(scores);
        const list = make("ol", { className: "found " + WORD[kind] + "s" });
        sorted.slice(0, 5).forEach(([value, i], k) => list.append(answer(kind, k + 1, i, value)));
        const place = sorted.findIndex(([, i]) => i === asked.concept) + 1;
        if (place > 5) list.append(answer(kind, place, asked.concept, scores[asked.concept]));
        const panel = make("div", { className: "panel" },
            make("h3", null, make("span", { className: "kind " + kind }, WORD[kind] + "s"), "it finds"),
            list);
        panel.dataset.first = `the ${WORD[kind]} ${data.concepts[sorted[0][1]].name}`;
        return panel;
    }

    function ask() {
        const query = by("query"), name = data.concepts[asked.concept].name;
        query.className = asked.kind;
        if (asked.kind === "image") query.replaceChildren(picture(asked.concept, "Picture of: " + name));
        else if (asked.kind === "audio") query.replaceChildren(play(asked.concept) || "", wave(asked.concept));
        else query.replaceChildren(name);
        const panels = ["image", "audio", "text"].filter((kind) => kind !== asked.kind).map(answers);
        by("answers").replaceChildren(...panels);
        // Said aloud in short; the lists are there to be read.
        by("asked").textContent = `The ${WORD[asked.kind]} of ${name} finds first ` +
            panels.map((panel) => panel.dataset.first).join(" and ");
    }

    function prepareAsking() {
        const grid = make("div");
        const shown = new Set(data.shown);
        const sorted = [...data.shown, ...data.concepts.keys()].filter((i, k) =>
            k < data.shown.length || !shown.has(i));
        sorted.forEach((i) => {
            const input = make("input", { type: "radio", name: "concept", value: String(i) });
            input.checked = i === asked.concept;
            input.setAttribute("aria-label", data.concepts[i].name);
            grid.append(make("label", { title: data.concepts[i].name }, input,
                make("span", null, picture(i, ""))));
        });
        by("picker").append(grid);
        by("picker").addEventListener("change", (event) => {
            asked.concept = Number(event.target.value);
            ask();
        });
        document.querySelectorAll("[name=kind]").forEach((input) => {
            input.checked = input.value === asked.kind;
            input.addEventListener("change", () => {
                asked.kind = input.value;
                ask();
            });
        });
        ask();
    }

    // --- Heat maps ---------------------------------------------------------------------------

    function prepareHeads(figure, kinds) {
        figure.querySelectorAll("[data-concept]").forEach((head) => {
            const kind = kinds[head.scope === "row" ? 0 : 1];
            const concept = Number(head.dataset.concept);
            head.title = data.concepts[concept].name;
            if (kind !== "image" || !by("p" + concept)) return;
            const image = picture(concept, "");
            image.className = "thumb";
            if (head.scope === "row") {
                head.firstChild.append(image);
                return;
            }
            head.firstChild.className = "vh";
            head.append(image);
            head.closest("table").classList.add("thumbs");
        });
    }

    // Cells by row; arrow keys move the one that is in the tab order.
    function prepareHeat(figure) {
        const pair = Number(figure.dataset.pair), kinds = PAIRS[pair];
        const table = figure.querySelector("table");
        const cells = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));
        const columns = [...table.tHead.rows[0].cells].slice(1);
        const readout = figure.querySelector(".hint"), hint = readout.textContent;
        let current = cells[0][0];
        prepareHeads(figure, kinds);
        table.setAttribute("role", "grid");
        table.parentNode.removeAttribute("tabindex"); // its cells are
        const mark = (row, column, on) => {
            cells[row][column].classList.toggle("at", on);
            cells[row][column].parentNode.cells[0].classList.toggle("on", on);
            columns[column].classList.toggle("on", on);
        };
        const point = (row, column) => {
            const a = data.shown[row], b = data.shown[column];
            mark(row, column, true);
            readout.classList.add("on");
            readout.replaceChildren(
                `${WORD[kinds[0]]} of ${data.concepts[a].name}, ` +
                `${kinds[1] === "text" ? "word" : WORD[kinds[1]] + " of"} ${data.concepts[b].name}: `,
                make("strong", { className: "score" }, data.scores[pair][a * count + b].toFixed(4)));
        };
        const leave = (row, column) => {
            mark(row, column, false);
            readout.classList.remove("on");
            readout.textContent = hint;
        };
        const focus = (row, column) => {
            current.tabIndex = -1;
            current = cells[row][column];
            current.tabIndex = 0;
            current.focus();
        };
        cells.forEach((line, row) => line.forEach((cell, column) => {
            cell.tabIndex = cell === current ? 0 : -1;
            cell.addEventListener("focus", () => point(row, column));
            cell.addEventListener("blur", () => leave(row, column));
            cell.addEventListener("mouseenter", () => {
                cells.flat().forEach((other) => other.classList.remove("at"));
                point(row, column);
            });
            cell.addEventListener("mouseleave", () => leave(row, column));
            cell.addEventListener("click", () => focus(row, column));
            cell.addEventListener("keydown", (event) => {
                const last = cells.length - 1;
                const to = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
                             ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
                             Home: [event.ctrlKey ? 0 : row, 0],
                             End: [event.ctrlKey ? last : row, last] }[event.key];
                if (!to) return;
                event.preventDefault();
                focus(...to.map((at) => Math.max(0, Math.min(last, at))));
            });
        }));
    }

    function prepareHeats() {
        const box = by("numbers");
        const figures = document.querySelectorAll(".heat");
        figures.forEach(prepareHeat);
        const change = () => {
            by("heats").classList.toggle("wide", box.checked);
            figures.forEach((figure) => figure.classList.toggle("plain", !box.checked));
        };
        box.addEventListener("change", change);
        change();
    }

    // --- Mixed queries -----------------------------------------------------------------------

    // The length of the sum of two rows of length one follows from their product.
    function mixedScores(sound, word) {
        const length = Math.sqrt(2 + 2 * score("audio", sound, "text", word));
        return data.concepts.map((_, i) => length > 0
            ? (score("audio", sound, "image", i) + score("text", word, "image", i)) / length : 0);
    }

    function mix() {
        const sound = Number(by("mix-sound").value), word = Number(by("mix-word").value);
        by("mix-play").replaceChildren(play(sound) || "");
        const best = order(mixedScores(sound, word)).slice(0, 6);
        by("mix-said").textContent = "Nearest pictures: " +
            best.slice(0, 3).map(([, i]) => data.concepts[i].name).join(", ");
        by("mix-found").replaceChildren(...best.map(([value, i]) => {
            const marks = [];
            if (i === sound) marks.push(make("span", { className: "kind audio" }, "the sound"));
            if (i === word) marks.push(make("span", { className: "kind text" }, "the word"));
            return make("li", { className: marks.length ? "hit" : "" }, picture(i, ""),
                make("span", { className: "name" }, data.concepts[i].name),
                make("span", { className: "score" }, value.toFixed(3)), ...marks);
        }));
    }

    function prepareMixer() {
        const chosen = [data.shown[0], data.shown[data.shown.length - 1]];
        ["mix-sound", "mix-word"].forEach((id, k) => {
            by(id).append(...data.concepts.map((concept, i) =>
                make("option", { value: String(i), selected: i === chosen[k] }, concept.name)));
            by(id).addEventListener("change", mix);
        });
        mix();
    }

    // --- The whole table ---------------------------------------------------------------------

    function prepareTable() {
        const body = by("ranks").tBodies[0];
        const rows = [...body.rows];
        const heads = [...by("ranks").tHead.rows[0].cells];
        const key = (i, column) => column === 0 ? 0 : data.concepts[i].ranks[column - 2];
        const compare = (a, b, column) => column === 0
            ? data.concepts[a].name.localeCompare(data.concepts[b].name) : key(a, column) - key(b, column);
        heads.forEach((head, column) => {
            if (column === 1) return; // sounds have no order
            const button = make("button", { type: "button", className: "sort" },
                ...head.childNodes);
            head.replaceChildren(button);
            button.addEventListener("click", () => {
                const down = head.getAttribute("aria-sort") === "ascending";
                heads.forEach((other) => other.removeAttribute("aria-sort"));
                head.setAttribute("aria-sort", down ? "descending" : "ascending");
                const sorted = [...rows.keys()].sort((a, b) =>
                    (down ? -1 : 1) * compare(a, b, column) || a - b);
                body.append(...sorted.map((i) => rows[i]));
            });
        });
    }

    document.documentElement.classList.add("js-on");
    document.querySelectorAll(".js").forEach((element) => { element.hidden = false; });
    prepareTheme(by("theme"));
    prepareSounds();
    prepareAsking();
    prepareHeats();
    prepareMixer();
    prepareTable();
})();
