// SPDX-License-Identifier: Apache-2.0
// Draws a report of `onepeace bench`. Whatever a report lacks is left out.
(() => {
    "use strict";
    const data = JSON.parse(document.getElementById("data").textContent);
    const { make, svg, prepareTheme } = onepeacePage;
    const by = (id) => document.getElementById(id);
    const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
    const list = (value) => (Array.isArray(value) ? value : []);
    const objects = (value) => list(value).map(object);
    const numbers = (value) => list(value).filter((v) => Number.isFinite(v));
    const KINDS = ["image", "audio", "text"];
    const kindOf = (value) => (KINDS.includes(value) ? value : "none");
    const WORD = { image: "picture", audio: "sound", text: "text", single_stream: "single stream",
        offline: "offline", server: "server", encoder: "encoder", end_to_end: "end to end" };
    const word = (value) => WORD[value] || String(value ?? "");

    // --- Numbers -----------------------------------------------------------------------------

    const digits = (value) => {
        const size = Math.abs(value);
        if (size === 0) return "0";
        if (size >= 1000 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
        return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
    };
    const number = (value, unit) => (Number.isFinite(value) ? digits(value) + (unit ? "\u00a0" + unit : "") : "\u2013");
    const percent = (value) => (Number.isFinite(value) ? (100 * value).toFixed(1) + "\u00a0%" : "\u2013");
    function seconds(value) {
        if (!Number.isFinite(value)) return "\u2013";
        if (value >= 1) return number(value, "s");
        return value >= 1e-3 ? number(value * 1e3, "ms") : number(value * 1e6, "\u00b5s");
    }
    function bytes(value) {
        if (!Number.isFinite(value)) return "\u2013";
        const units = ["B", "KiB", "MiB", "GiB", "TiB"];
        let at = 0;
        while (value >= 1024 && at < 4) { value /= 1024; at++; }
        return number(value, units[at]);
    }

    // --- Parts -------------------------------------------------------------------------------

    function bar(part, kind) {
        const width = Math.max(0, Math.min(1, part || 0)) * 100;
        return svg("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
            svg("rect", { width: width.toFixed(1), height: 4, class: kind || "" }));
    }
    const withBar = (part, kind) => make("td", { className: "wide" }, percent(part), bar(part, kind));
    const cell = (text, className) => make("td", { className: className || "" }, text);
    const badge = (kind) => make("td", { className: "left" },
        make("span", { className: "kind " + kindOf(kind) }, word(kind)));

    function table(id, heads, rows) {
        const head = make("tr", {}, ...heads.map(([text, left]) =>
            make("th", { scope: "col", className: left ? "left" : "" }, text)));
        by(id).replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
        if (rows.length === 0)
            by(id).tBodies[0].append(make("tr", {}, make("td", { colSpan: heads.length }, "Not measured.")));
    }

    function facts(target, entries) {
        target.append(...entries.filter(([, value]) => value !== undefined && value !== null && value !== "")
            .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
        return target;
    }

    // --- Head --------------------------------------------------------------------------------

    const environment = object(data.environment), device = object(environment.device);
    const host = object(environment.host), model = object(data.model), peaks = object(data.peaks);
    const program = object(data.program), scenarios = objects(data.scenarios);
    const kernels = objects(data.kernels);
    const peak = peaks.fma_f32_gflops, rate = peaks.copy_gbps;

    function head() {
        by("lead").textContent = [
            [device.platform, device.driver].filter(Boolean).join(" "),
            model.name && `${model.name}: width ${model.embed_dim}, ${model.layers} layers, weights kept as ${model.dtype}`,
            program.version && `onepeace ${program.version} (${program.commit})`,
            data.created && String(data.created).replace("T", " ").replace("Z", " UTC"),
        ].filter(Boolean).join(" \u00b7 ");
        const flags = objects(environment.flags);
        by("flags").append(...flags.map((flag) => make("li", {},
            make("strong", {}, String(flag.kind)), make("span", {}, String(flag.detail ?? "")))));
        if (flags.length === 0)
            by("flags").append(make("li", { className: "fine" }, make("strong", {}, "quiet"),
                make("span", {}, "nothing points to a throttled, shared or virtual machine")));
    }

    function tiles() {
        const found = [];
        if (Number.isFinite(peak)) found.push([number(peak), "GFLOP/s", "float32 peak"]);
        if (Number.isFinite(rate)) found.push([number(rate), "GB/s", "copying in memory"]);
        for (const kind of KINDS) {
            const all = scenarios.filter((s) => s.kind === kind && s.scope !== "end_to_end" &&
                s.scenario !== "server" && Number.isFinite(s.items_per_s));
            if (all.length === 0) continue;
            const work = Math.max(...all.map((s) => s.flops_per_item || 0)); // of the largest input, the best batch
            const best = all.filter((s) => (s.flops_per_item || 0) === work)
                .reduce((a, b) => (b.items_per_s > a.items_per_s ? b : a));
            const part = Number.isFinite(best.fraction_of_peak) ? `, ${percent(best.fraction_of_peak)} of peak` : "";
            found.push([number(best.items_per_s), "/s", `${best.input || word(kind)}${part}`]);
        }
        by("tiles").append(...found.map(([value, unit, what]) => make("li", {},
            make("strong", {}, value + " ", make("small", {}, unit)), make("span", {}, what))));
    }

    function scenarioTable() {
        table("scenario-table", [["Scenario", true], ["Kind", true], ["Input", true], ["Scope", true], ["Batch"],
            ["Items/s"], ["p50"], ["p90"], ["p99"], ["Of peak"], ["Device busy"]],
        scenarios.map((s) => make("tr", {},
            make("th", { scope: "row", className: "left" }, word(s.scenario) +
                (Number.isFinite(s.arrivals_per_s) ? ` at ${digits(s.arrivals_per_s)}/s` : "")),
            badge(s.kind), cell(String(s.input ?? ""), "left dim"), cell(word(s.scope), "left"), cell(number(s.batch)),
            cell(number(s.items_per_s)), cell(seconds(s.p50_s)), cell(seconds(s.p90_s)), cell(seconds(s.p99_s)),
            withBar(s.fraction_of_peak, kindOf(s.kind)), cell(percent(s.device_busy)))));
    }

    // --- Plots -------------------------------------------------------------------------------

    // Draws at the size that the page gives, again when it changes.
    function chart(id, draw) {
        const box = by(id);
        let last = 0;
        const again = () => {
            const width = Math.floor(box.clientWidth);
            if (width === last || width < 100) return;
            last = width;
            const height = Math.max(300, Math.min(480, Math.round(width * 0.5)));
            const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group" });
            draw(root, width, height);
            box.replaceChildren(root);
        };
        again();
        new ResizeObserver(again).observe(box);
    }

    // Powers of ten, with 2 and 5 between them where there is room.
    function ticks(low, high, room) {
        const decades = Math.log10(high / low), steps = decades * 55 * 3 < room ? [1, 2, 5] : [1], out = [];
        const skip = Math.max(1, Math.ceil(decades * 55 / room));
        for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
            for (const step of steps) {
                const value = step * 10 ** e;
                if (value >= low * 0.999 && value <= high * 1.001 && (steps.length > 1 || e % skip === 0)) out.push(value);
            }
        return out;
    }
    const short = (value) => (value >= 1e4 ? value / 1e3 + "k" : String(Number(value.toPrecision(2))));

    const tip = by("tip");
    function explain(element, text) {
        element.setAttribute("tabindex", "0");
        element.setAttribute("role", "img");
        element.setAttribute("aria-label", text.replaceAll("\n", ", "));
        const show = () => {
            tip.textContent = text;
            tip.hidden = false;
            const at = element.getBoundingClientRect(), own = tip.getBoundingClientRect();
            const left = Math.min(Math.max(8, at.left + at.width / 2 - own.width / 2), innerWidth - own.width - 8);
            const above = at.top - own.height - 8;
            tip.style.left = left + "px";
            tip.style.top = (above > 8 ? above : at.bottom + 8) + "px";
        };
        const hide = () => { tip.hidden = true; };
        element.addEventListener("mouseenter", show);
        element.addEventListener("mouseleave", hide);
        element.addEventListener("focus", show);
        element.addEventListener("blur", hide);
    }
    addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

    const LEFT = 52, RIGHT = 14, TOP = 22, BOTTOM = 46;
    function logScale(low, high, from, to) {
        const span = Math.log(high / low);
        return (value) => from + Math.log(value / low) / span * (to - from);
    }
    function xAxis(root, scale, marks, width, height, text) {
        for (const value of marks) {
            const x = scale(value);
            root.append(svg("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: height - BOTTOM }),
                svg("text", { x, y: height - BOTTOM + 17, "text-anchor": "middle" }, short(value)));
        }
        root.append(svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: height - BOTTOM, y2: height - BOTTOM }),
            svg("text", { class: "label", x: width - RIGHT, y: height - 8, "text-anchor": "end" }, text));
    }
    function yAxis(root, scale, marks, width, show, text) {
        for (const value of marks) {
            const y = scale(value);
            root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
                svg("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end" }, show(value)));
        }
        root.append(svg("text", { class: "label", x: 4, y: 12 }, text));
    }

    function legend(id, keys) {
        by(id).append(...keys.map(([kind, text, files]) => make("span", {},
            svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, files === undefined
                ? svg("circle", { class: `dot ${kind}`, cx: 20, cy: 6, r: 5.5 }) : svg("line", { class: `key ${kind}${files ? " files" : ""}`, x1: 1, x2: 27, y1: 6, y2: 6 })), text)));
    }

    function latency() {
        const curves = scenarios.filter((s) => s.scenario === "single_stream")
            .map((s) => ({ s, sorted: numbers(s.samples_s).filter((v) => v > 0).sort((a, b) => a - b) }))
            .filter((c) => c.sorted.length > 1);
        if (curves.length === 0) {
            by("latency").hidden = true;
            return;
        }
        const low = Math.min(...curves.map((c) => c.sorted[0])) * 1e3 / 1.15;
        const high = Math.max(...curves.map((c) => c.sorted.at(-1))) * 1e3 * 1.15;
        chart("latency-chart", (root, width, height) => {
            const x = logScale(low, high, LEFT, width - RIGHT);
            const y = (part) => height - BOTTOM - part * (height - BOTTOM - TOP);
            yAxis(root, y, [0, 0.25, 0.5, 0.75, 0.9, 1], width, (v) => 100 * v + " %", "answered");
            xAxis(root, x, ticks(low, high, width - LEFT - RIGHT), width, height, "milliseconds");
            for (const { s, sorted } of curves) {
                let path = `M${x(sorted[0] * 1e3).toFixed(1)} ${y(0).toFixed(1)}`;
                sorted.forEach((value, i) => {
                    path += `H${x(value * 1e3).toFixed(1)}V${y((i + 1) / sorted.length).toFixed(1)}`;
                });
                const line = svg("path", { class: `curve ${kindOf(s.kind)}${s.scope === "end_to_end" ? " files" : ""}`, d: path });
                root.append(line);
                explain(line, `${s.input || word(s.kind)}, ${word(s.scope)}\np50 ${seconds(s.p50_s)}, p90 ${seconds(s.p90_s)}, ` +
                    `p99 ${seconds(s.p99_s)}\n${sorted.length} samples`);
            }
        });
        legend("latency-legend", curves.map(({ s }) => [kindOf(s.kind),
            `${s.input || word(s.kind)}, ${word(s.scope)}: ${seconds(s.p50_s)}`, s.scope === "end_to_end"]));
    }

    const kernelTip = (k) => `${k.op} ${k.shape}\n${k.variant}, ${k.input || word(k.kind)}, batch ${k.batch}\n` +
        `${number(k.gflops, "GFLOP/s")} (${percent(k.fraction_of_peak)} of peak), ${number(k.gbps, "GB/s")}\n` +
        `${seconds(k.seconds)} a call, ${percent(k.share)} of the time; limited by ${k.bound}`;

    function roofline() {
        const dots = kernels.filter((k) => k.intensity > 0 && k.gflops > 0 && Number.isFinite(k.intensity))
            .sort((a, b) => (b.share || 0) - (a.share || 0));
        if (dots.length === 0 || !(peak > 0) || !(rate > 0)) {
            by("roofline").hidden = true;
            return;
        }
        const ridge = peak / rate;
        const low = Math.min(ridge / 4, ...dots.map((k) => k.intensity)) / 1.6;
        const high = Math.max(ridge * 4, ...dots.map((k) => k.intensity)) * 1.6;
        const top = Math.max(peak, ...dots.map((k) => k.gflops)) * 1.7;
        const bottom = Math.min(low * rate, ...dots.map((k) => k.gflops)) / 1.5;
        chart("roofline-chart", (root, width, height) => {
            const x = logScale(low, high, LEFT, width - RIGHT), y = logScale(bottom, top, height - BOTTOM, TOP);
            const knee = Math.min(Math.max(ridge, low), high);
            const roof = `M${x(low)} ${y(Math.max(low * rate, bottom))}L${x(knee)} ${y(peak)}H${width - RIGHT}`;
            root.append(svg("path", { class: "under", d: `${roof}V${height - BOTTOM}H${LEFT}Z` }));
            yAxis(root, y, ticks(bottom, top, height - TOP - BOTTOM), width, short, "GFLOP/s");
            xAxis(root, x, ticks(low, high, width - LEFT - RIGHT), width, height, "FLOP a byte");
            root.append(svg("path", { class: "roof", d: roof }));
            for (const k of dots) {
                const dot = svg("circle", { class: `dot ${kindOf(k.kind)}`, cx: x(k.intensity).toFixed(1),
                    cy: y(k.gflops).toFixed(1), r: (4 + 11 * Math.sqrt(Math.max(0, Math.min(1, k.share || 0)))).toFixed(1) });
                explain(dot, kernelTip(k));
                root.append(dot);
            }
            const slope = Math.atan2(y(knee * rate) - y(low * rate), x(knee) - x(low)) * 180 / Math.PI;
            const middle = Math.sqrt(low * knee), mx = x(middle), my = y(middle * rate);
            root.append(svg("text", { class: "label", x: width - RIGHT - 4, y: y(peak) - 8, "text-anchor": "end" },
                `float32 peak ${digits(peak)} GFLOP/s`));
            root.append(svg("text", { class: "label", x: mx, y: my - 8, "text-anchor": "middle",
                transform: `rotate(${slope.toFixed(1)} ${mx} ${my})` }, `copy ${digits(rate)} GB/s`));
        });
        legend("roofline-legend", KINDS.filter((kind) => dots.some((k) => k.kind === kind)).map((kind) => [kind, word(kind), undefined]));
    }

    // --- Tables ------------------------------------------------------------------------------

    function kernelTable() {
        const name = (k) => `${k.input || word(k.kind)}, batch ${k.batch}`;
        const groups = [...new Set(kernels.map(name))];
        const select = by("group");
        if (groups.length === 0) select.closest("p").hidden = true;
        select.append(...groups.map((group) => make("option", { value: group }, group)));
        const fill = () => {
            const shown = kernels.filter((k) => name(k) === select.value).sort((a, b) => (b.share || 0) - (a.share || 0));
            table("kernel-table", [["Kernel", true], ["Shape", true], ["Variant", true], ["Share of time"], ["Calls"],
                ["A call"], ["GFLOP/s"], ["GB/s"], ["Of peak"], ["Of bandwidth"], ["Limited by", true]],
            shown.map((k) => make("tr", {}, make("th", { scope: "row", className: "left" }, String(k.op)),
                cell(String(k.shape ?? ""), "left"), cell(String(k.variant ?? ""), "left dim"),
                withBar(k.share, kindOf(k.kind)), cell(number(k.calls)), cell(seconds(k.seconds)), cell(number(k.gflops)),
                cell(number(k.gbps)), cell(percent(k.fraction_of_peak)), cell(percent(k.fraction_of_bandwidth)),
                cell(String(k.bound ?? ""), "left"))));
        };
        select.addEventListener("change", fill);
        fill();
    }

    const PEAKS = [["fma_f32_gflops", "float32 multiply-add", "GFLOP/s"], ["fma_f16_gflops", "half multiply-add", "GFLOP/s"],
        ["dot_i8_gops", "int8 dot product", "GOP/s"], ["read_gbps", "reading memory", "GB/s"],
        ["write_gbps", "writing memory", "GB/s"], ["copy_gbps", "copying memory", "GB/s"],
        ["host_to_device_gbps", "host to device", "GB/s"], ["device_to_host_gbps", "device to host", "GB/s"],
        ["launch_us", "a queued launch", "\u00b5s"], ["launch_finish_us", "a launch waited for", "\u00b5s"]];

    function peakTable() {
        const samples = object(peaks.samples), methods = object(peaks.methods);
        table("peak-table", [["What", true], ["Best"], ["Median"], ["Samples"], ["", true], ["How", true]],
            PEAKS.filter(([name]) => name in peaks).map(([name, text, unit]) => {
                const all = numbers(samples[name]).sort((a, b) => a - b), most = all.at(-1);
                const median = all.length ? (all[(all.length - 1) >> 1] + all[all.length >> 1]) / 2 : NaN;
                const marks = svg("svg", { class: "marks", viewBox: "0 0 200 16", preserveAspectRatio: "none", "aria-hidden": "true" },
                    svg("line", { class: "base", x1: 0, x2: 200, y1: 8, y2: 8 }),
                    ...all.map((v) => svg("line", { x1: (198 * v / most + 1).toFixed(1), x2: (198 * v / most + 1).toFixed(1), y1: 2, y2: 14 })));
                return make("tr", {}, make("th", { scope: "row", className: "left" }, text),
                    cell(Number.isFinite(peaks[name]) ? number(peaks[name], unit) : "none"), cell(number(median)),
                    cell(String(all.length)), make("td", { className: "wide" }, all.length ? marks : null),
                    cell(String(methods[name] ?? ""), "left dim"));
            }));
    }

    function accuracy() {
        const fine = (value) => (Number.isFinite(value) ? value.toExponential(1) : "\u2013");
        table("accuracy-table", [["Kind", true], ["Worst error"], ["Tolerance"], ["Cosine"], ["Against", true], ["", true]],
            objects(data.accuracy).map((row) => make("tr", {}, badge(row.kind), cell(fine(row.worst_error)),
                cell(fine(row.tolerance)), cell(Number.isFinite(row.cosine) ? row.cosine.toFixed(7) : "\u2013"),
                cell(String(row.against ?? ""), "left"),
                cell(row.worst_error <= row.tolerance ? "within" : "outside", "left"))));
    }

    function start() {
        const costs = object(data.first_run);
        const parts = [["open_device_s", "opening the device"], ["open_model_s", "opening the model"],
            ["compile_s", "compiling kernels, planning"], ["upload_s", "loading the weights"],
            ["first_embedding_s", "to the first embedding"]].filter(([name]) => Number.isFinite(costs[name]));
        const most = Math.max(1e-9, ...parts.map(([name]) => costs[name]));
        by("costs").append(...parts.map(([name, text]) => make("li", {},
            make("p", {}, make("span", {}, text), make("strong", {}, seconds(costs[name]))), bar(costs[name] / most))));
        facts(by("memory"), [["weights", bytes(costs.weight_bytes)], ["activations", bytes(costs.arena_bytes)],
            ["peak of the process", bytes(costs.peak_rss_bytes)], ["kernel cache", costs.cache]]);
    }

    function environments() {
        const card = (title, entries) => make("div", { className: "panel" }, make("h3", {}, title),
            facts(make("dl", { className: "facts" }), entries));
        const plain = (value) => Object.entries(object(value)).filter(([, v]) => typeof v !== "object")
            .map(([name, v]) => [name.replace(/_bytes$/, "").replaceAll("_", " "),
                name.endsWith("_bytes") ? bytes(v) : typeof v === "number" && !Number.isInteger(v) ? digits(v) : v]);
        by("environments").append(
            card("Device", plain(device)), card("Host", plain(host)),
            card("Program", [...plain(program), ["command", list(data.command).join(" ")], ["quirks", environment.quirks],
                ["variants", list(environment.variants).join(", ")],
                ["switched off", list(environment.disabled_variants).join(", ")],
                ...objects(environment.tuning).map((row) => [`tiles of ${row.op}`, `${row.row} (${row.source})`]),
                ...Object.entries(object(environment.variables))]),
            card("Model", [...plain(model), ...Object.entries(object(model.parameters))
                .map(([kind, count]) => [`${word(kind)} weights`, number(count)])]));
        const skipped = objects(data.skipped);
        if (skipped.length)
            by("environments").append(card("Not measured", skipped.map((row) => [String(row.what), row.why])));
    }

    prepareTheme(by("theme"));
    for (const part of [head, tiles, scenarioTable, latency, roofline, kernelTable, peakTable, accuracy, start, environments])
        part();
})();
