// The page of an output: best and worst, search, filters and pages of all photos.
//
// What comes out of a store is text, never markup: elements are made by `make`, whose strings become text nodes. Data
// come as scripts that call `artbank.receive`, for a page that was opened from a disk may not fetch its neighbours.
"use strict";

(() => {
    const SHOWN_BY_BROWSERS = /\.(jpe?g|jfif|png|webp|gif|avif|bmp)$/i;
    const HIDDEN_SIGNS = /[\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]|\u{e0001}|[\u{e0020}-\u{e007f}]/gu;
    const SCALE = 10000, NOTHING = -32768;
    const KINDS = [["best", "Best"], ["median", "In the middle"], ["worst", "Worst"]];
    const KEPT_NAMES = 512, KEPT_FACTS = 24;  // chunks in memory
    const SEARCHED_ON = 256;  // chunks that a search reads after it has filled its page

    const AHEAD = 8;  // chunks of names that are on their way at a time

    const byId = (id) => document.getElementById(id);
    const waiting = new Map();
    let overview = null;

    window.artbank = {
        receive(name, facts) {
            if (name === "overview") {
                overview = facts;
            } else if (waiting.has(name)) {
                waiting.get(name)(facts);
                waiting.delete(name);
            }
        },
    };

    // ---- Elements

    function make(tag, properties, ...children) {
        const element = document.createElement(tag);
        for (const [name, value] of Object.entries(properties || {})) {
            if (value === null || value === undefined) continue;
            if (name in element && name !== "list") element[name] = value;
            else element.setAttribute(name, value);
        }
        element.append(...children.filter((child) => child !== null && child !== undefined));
        return element;
    }

    const plain = (text) => String(text).replace(HIDDEN_SIGNS, "\ufffd");
    const number = (value) => value.toLocaleString("en");
    const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));

    function nameOf(key) {
        const cut = key.lastIndexOf("/") + 1;
        const parts = [make("span", {className: "folder"}, plain(key.slice(0, cut))), plain(key.slice(cut))];
        return make("bdi", {}, ...(cut ? parts : parts.slice(1)));
    }

    // ---- Where pictures and photos are

    function urlOf(base, path) {
        const parts = path.split("/");
        if (base === null || parts.some((part) => part === "" || part === "." || part === "..")) return null;
        try {
            return `${base}/${parts.map(encodeURIComponent).join("/")}`;
        } catch {
            return null;  // half a pair of surrogates
        }
    }

    const photoUrl = (key) => urlOf(overview.archive, key);

    function pictureUrl(cell, key, style) {
        if (cell.state === "d") return urlOf("..", `${style}/${key}`);
        if (cell.state === "p") return urlOf("..", `${style}/${key}.png`);
        return cell.state === "n" ? urlOf("..", cell.name) : null;
    }

    // ---- Tiles

    function shaped(element, shape) {
        element.style.aspectRatio = String(Math.min(Math.max(shape || 1.333, 0.66), 2.4));
        return element;
    }

    function blank(text, shape, extra) {
        return shaped(make("p", {className: `blank${extra || ""}`}, text), shape);
    }

    // What stands for a photo: an image, or words where there is none, the same when it turns out that there is none.
    function photoTile(photo, shape) {
        const url = photo.small || (SHOWN_BY_BROWSERS.test(photo.key) ? photoUrl(photo.key) : null);
        const words = photoWords(photo);
        const figure = make("figure", {className: "tile"});
        if (url) {
            const image = shaped(make("img", {alt: `Photo ${plain(photo.key)}`, loading: "lazy", src: url}), shape);
            image.addEventListener("error", () => image.replaceWith(blank(words, shape)));
            figure.append(image);
        } else {
            figure.append(blank(words, shape));
        }
        figure.append(make("figcaption", {}, "photo"));
        return figure;
    }

    function photoWords(photo) {
        const suffix = (/\.([a-z0-9]{1,5})$/i.exec(photo.key) || ["", ""])[1].toUpperCase();
        return suffix && !SHOWN_BY_BROWSERS.test(photo.key) ? `a browser does not show ${suffix} files` : "photo not kept here";
    }

    function missingPicture(cell, shape) {
        if (cell.state === "f") return blank(`failed: ${plain(cell.reason || cell.failure || "no reason was kept")}`, shape, " bad");
        return cell.state === "c" ? blank(`in the container ${plain(cell.name)}`, shape) : null;
    }

    // A picture with the photo over it, as far as the slider shows it; `full` takes the files before the small ones.
    function compare(photo, cell, style, {full, start}) {
        const shape = photo.shape;
        const own = pictureUrl(cell, photo.key, style);
        const urls = (full ? [own, cell.small] : [cell.small, own]).filter(Boolean);
        const gone = missingPicture(cell, shape);
        if (!urls.length) return gone || blank("not to be shown here", shape);
        const box = shaped(make("div", {className: "compare"}), shape);
        const label = `${plain(photo.key)} in the style ${plain(style)}`;
        const picture = make("img", {className: "picture", alt: label, loading: "lazy", draggable: false});
        picture.addEventListener("error", () => {
            urls.shift();
            if (urls.length) picture.src = urls[0];
            else box.replaceWith(gone || blank("picture not found here", shape));
        });
        picture.src = urls[0];
        box.append(picture);
        addSlider(box, photo, label, {full, start});
        return box;
    }

    function addSlider(box, photo, label, {full, start}) {
        const there = SHOWN_BY_BROWSERS.test(photo.key) ? photoUrl(photo.key) : null;
        const urls = (full ? [there, photo.small] : [photo.small, there]).filter(Boolean);
        if (!urls.length) return;
        const over = make("img", {className: "photo", alt: "", loading: "lazy", draggable: false});
        const edge = make("div", {className: "edge"});
        const slider = make("input", {type: "range", min: 0, max: 100, step: 1, "aria-label": `How much of the photo shows over ${label}`});
        slider.value = start;
        const move = () => {
            box.style.setProperty("--cut", `${slider.value}%`);
            slider.setAttribute("aria-valuetext", `${slider.value} % photo`);
        };
        slider.addEventListener("input", move);
        over.addEventListener("error", () => {
            urls.shift();
            if (urls.length) over.src = urls[0];
            else [over, edge, slider].forEach((element) => element.remove());
        });
        over.src = urls[0];
        move();
        box.append(over, edge, slider);
    }

    function pictureTile(photo, column, measure, isNamed) {
        const style = overview.styles[column], cell = photo.cells[column];
        const figure = make("figure", {className: "tile"});
        const shown = cell ? compare(photo, cell, style, {full: false, start: 0}) : blank("not drawn", photo.shape);
        figure.append(shown);
        const caption = make("figcaption");
        if (cell && cell.state !== "f") {
            const button = make("button", {type: "button"}, isNamed ? nameOf(photo.key) : plain(style));
            if (!isNamed) button.append(make("span", {className: "unseen"}, ` of ${plain(photo.key)}: look closer`));
            button.addEventListener("click", () => lookCloser(photo, column));
            caption.append(button, make("span", {className: "score"}, score(scoreOf(cell, measure))));
            if (cell.flags && cell.flags.length) caption.append(make("span", {className: "aside bad"}, plain(cell.flags.join(", "))));
        } else {
            caption.append(plain(style));
        }
        figure.append(caption);
        return figure;
    }

    const scoreOf = (cell, measure) => (cell.scores ? cell.scores[measure] : null);

    function card(photo, columns, measure) {
        const tiles = make("div", {className: "tiles"}, photoTile(photo, photo.shape));
        for (const column of columns) tiles.append(pictureTile(photo, column, measure, false));
        return make("article", {className: "card"}, make("h3", {}, nameOf(photo.key)), tiles);
    }

    // ---- A closer look

    function lookCloser(photo, column) {
        const style = overview.styles[column], cell = photo.cells[column];
        byId("closer-title").replaceChildren(nameOf(photo.key), `, ${plain(style)}`);
        const body = [compare(photo, cell, style, {full: true, start: 50})];
        const facts = make("dl", {className: "facts"});
        overview.measures.forEach(([name, words], place) => {
            facts.append(make("div", {}, make("dt", {}, `${words} (${name})`), make("dd", {}, score(scoreOf(cell, place)))));
        });
        if (cell.flags && cell.flags.length) facts.append(make("div", {}, make("dt", {}, "Looks wrong"), make("dd", {}, plain(cell.flags.join(", ")))));
        const links = make("ul", {className: "menu"});
        const files = [["Picture file", pictureUrl(cell, photo.key, style)], ["Photo file", photoUrl(photo.key)]];
        for (const [words, url] of files) if (url) links.append(make("li", {}, make("a", {href: url}, words)));
        byId("closer-body").replaceChildren(...body, facts, links);
        byId("closer").showModal();
    }

    // ---- Best and worst

    function showBest() {
        const column = Number(byId("best-style").value), measure = Number(byId("best-score").value);
        const name = overview.measures[measure][0];
        const groups = [];
        for (const [kind, title] of KINDS) {
            const found = overview.lists.find((list) => list[0] === column && list[1] === name && list[2] === kind);
            if (!found) continue;
            const tiles = make("div", {className: "tiles"});
            for (const place of found[3]) tiles.append(pictureTile(overview.photos[place], column, measure, true));
            groups.push(make("div", {className: "group"}, make("h3", {}, title), tiles));
        }
        byId("best-lists").replaceChildren(...(groups.length ? groups : [make("p", {className: "muted"}, "No picture of this style was scored, or there was no room for it in the sample.")]));
    }

    // ---- Chunks

    function keep(cache, most, number, value) {
        cache.set(number, value);
        if (cache.size > most) cache.delete(cache.keys().next().value);
        return value;
    }

    function load(file, name) {
        return new Promise((resolve, reject) => {
            const element = make("script", {src: file});
            waiting.set(name, (facts) => {
                element.remove();
                resolve(facts);
            });
            element.addEventListener("error", () => {
                element.remove();
                waiting.delete(name);
                reject(new Error("a part of this page is gone: it was written anew meanwhile; load it again"));
            });
            document.head.append(element);
        });
    }

    const names = new Map(), facts = new Map();

    function loadOnce(cache, most, number, place, kind, read) {
        if (!cache.has(number)) {
            const loading = load(overview.chunks[number][place], `${kind}-${number}`).then(read);
            loading.catch(() => cache.delete(number));
            return keep(cache, most, number, loading);
        }
        return keep(cache, most, number, (() => { const held = cache.get(number); cache.delete(number); return held; })());
    }

    const namesOf = (number) => loadOnce(names, KEPT_NAMES, number, 0, "names", readNames);
    const factsOf = (number) => loadOnce(facts, KEPT_FACTS, number, 1, "facts", readFacts);

    function readNames(told) {
        const keys = [];
        let place = 0;
        for (const [folder, count] of told.folders) {
            const start = folder ? `${folder}/` : "";
            for (const end = place + count; place < end; place++) keys.push(start + told.names[place]);
        }
        return {keys, text: null, lines: null};
    }

    const fold = (text) => text.normalize("NFC").toLowerCase();

    function textOf(chunk) {
        if (chunk.text === null) chunk.text = fold(chunk.keys.map((key) => key.replace(/\n/g, " ")).join("\n"));
        return chunk.text;
    }

    function unpack(text) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const view = new DataView(bytes.buffer);
        return Int16Array.from({length: bytes.length / 2}, (_, place) => view.getInt16(2 * place, true));
    }

    function readFacts(told) {
        const styles = told.styles.map((style) => ({...style, scores: style.scores.map(unpack)}));
        return {shape: unpack(told.shape), styles};
    }

    function cellOf(style, place) {
        const state = style.states[place];
        if (state === " ") return null;
        const cell = {state, name: (style.names || {})[place], flags: (style.flags || {})[place]};
        if (state === "f") [cell.failure, cell.reason] = (style.failed || {})[place] || [];
        cell.scores = style.scores.map((values) => (values[place] === NOTHING ? null : values[place] / SCALE));
        return cell;
    }

    async function photoAt(index) {
        const number = Math.floor(index / overview.photosInAChunk), place = index % overview.photosInAChunk;
        const [named, told] = await Promise.all([namesOf(number), factsOf(number)]);
        const key = named.keys[place], known = small.get(key);
        const cells = told.styles.map((style) => cellOf(style, place));
        if (known) cells.forEach((cell, column) => { if (cell && known.cells[column]) cell.small = known.cells[column].small; });
        return {key, small: known ? known.small : null, shape: told.shape[place] / 1000 || null, cells};
    }

    const small = new Map();  // photos of the sample, by key

    // ---- Which photos are wanted: all or those of a status by counts, those of a name by a search

    function isState(state, style, place) {
        const letter = style.states[place];
        if (state === "absent") return letter === " ";
        if (state === "failed") return letter === "f";
        const isDone = letter !== " " && letter !== "f";
        return state === "flagged" ? isDone && Boolean((style.flags || {})[place]) : isDone;
    }

    // How many photos of a chunk may fit: exact without a search.
    function countOf(number, asked) {
        if (!asked.state) return Math.min(overview.photosInAChunk, overview.numPhotos - number * overview.photosInAChunk);
        return overview.chunks[number][2][asked.column + 1][overview.states.indexOf(asked.state)];
    }

    async function fitting(number, asked) {
        const start = number * overview.photosInAChunk;
        const count = Math.min(overview.photosInAChunk, overview.numPhotos - start);
        let places = asked.words.length ? await searchChunk(number, asked.words) : Array.from({length: count}, (_, place) => place);
        if (asked.state && places.length) {
            const told = await factsOf(number);
            const columns = asked.column < 0 ? told.styles : [told.styles[asked.column]];
            places = places.filter((place) => columns.some((style) => isState(asked.state, style, place)));
        }
        return places.map((place) => start + place);
    }

    async function searchChunk(number, words) {
        const chunk = await namesOf(number);
        const text = textOf(chunk);
        if (!words.every((word) => text.includes(word))) return [];
        chunk.lines = chunk.lines || text.split("\n");
        const found = [];
        chunk.lines.forEach((line, place) => { if (words.every((word) => line.includes(word))) found.push(place); });
        return found;
    }

    class Counted {
        constructor(asked) {
            this.asked = asked;
            this.total = overview.chunks.reduce((sum, _, number) => sum + countOf(number, asked), 0);
            this.isWhole = true;
        }

        async take(start, count) {
            const found = [];
            let before = 0;
            for (let number = 0; number < overview.chunks.length && found.length < count; number++) {
                const here = countOf(number, this.asked);
                if (here && before + here > start) {
                    const from = Math.max(start - before, 0);
                    found.push(...(await fitting(number, this.asked)).slice(from, from + count - found.length));
                }
                before += here;
            }
            return found;
        }
    }

    class Searched {
        constructor(asked) {
            Object.assign(this, {asked, found: [], next: 0});
        }

        get total() { return this.found.length; }
        get isWhole() { return this.next >= overview.chunks.length; }

        async step() {
            const number = this.next;
            for (let ahead = number + 1; ahead < Math.min(number + AHEAD, overview.chunks.length); ahead++) namesOf(ahead);
            if (countOf(number, this.asked)) this.found.push(...await fitting(number, this.asked));
            this.next = number + 1;
        }

        async take(start, count, isCurrent) {
            while (!this.isWhole && this.found.length < start + count && isCurrent()) await this.step();
            return this.found.slice(start, start + count);
        }

        async goOn(isCurrent, tell) {
            const end = Math.min(overview.chunks.length, this.next + SEARCHED_ON);
            while (this.next < end && isCurrent()) await this.step();
            if (isCurrent()) tell();
        }
    }

    // ---- The grid

    const shown = {turn: 0, source: null, page: 0, key: ""};

    function readForm() {
        const words = fold(byId("search").value).split(/\s+/).filter(Boolean);
        const state = byId("state").value, column = Number(byId("style").value);
        return {words, state, column, size: Number(byId("size").value), isAll: byId("scope").value === "all"};
    }

    function columnsOf(asked) {
        return asked.column < 0 ? overview.styles.map((_, place) => place) : [asked.column];
    }

    async function showPhotos(page) {
        const turn = ++shown.turn, asked = readForm();
        const isCurrent = () => turn === shown.turn;
        const isSpread = !asked.isAll && !asked.words.length && !asked.state;
        byId("photos").querySelector(".pager").hidden = isSpread;
        if (isSpread) {
            const photos = overview.spread.map((place) => overview.photos[place]);
            byId("found").textContent = `A spread over the archive: ${photos.length} of ${number(overview.numPhotos)} photos.`;
            byId("cards").replaceChildren(...photos.map((photo) => card(photo, columnsOf(asked), 0)));
            return;
        }
        const key = JSON.stringify([asked.words, asked.state, asked.column]);
        if (key !== shown.key || !shown.source) {
            shown.source = asked.words.length ? new Searched(asked) : new Counted(asked);
            shown.key = key;
        }
        const source = shown.source;
        byId("found").textContent = asked.words.length ? "Searching …" : byId("found").textContent;
        try {
            const found = await source.take(page * asked.size, asked.size, isCurrent);
            const photos = await Promise.all(found.map(photoAt));
            if (!isCurrent()) return;
            shown.page = page;
            byId("cards").replaceChildren(...photos.map((photo) => card(photo, columnsOf(asked), 0)));
            tell(asked, source, page, found.length);
            if (!source.isWhole) await source.goOn(isCurrent, () => tell(asked, source, page, found.length));
        } catch (error) {
            if (isCurrent()) byId("found").textContent = `Not shown: ${error.message}.`;
        }
    }

    function tell(asked, source, page, count) {
        const total = number(source.total), least = source.isWhole ? "" : "at least ";
        const first = page * asked.size;
        const range = count ? `Photos ${number(first + 1)} to ${number(first + count)} of ${least}${total}.` : "No photo fits.";
        byId("found").textContent = range;
        const pages = Math.max(Math.ceil(source.total / asked.size), 1);
        byId("page").value = page + 1;
        byId("page").max = pages;
        byId("pages").textContent = `of ${least}${number(pages)}`;
        byId("back").disabled = page === 0;
        byId("on").disabled = source.isWhole && page + 1 >= pages;
    }

    async function turnTo(page) {
        await showPhotos(page);
        byId("photos").scrollIntoView({block: "start"});
        byId("photos-title").focus({preventScroll: true});
    }

    // ---- Start

    function fill(select, options) {
        select.replaceChildren(...options.map(([value, words]) => make("option", {value}, plain(words))));
    }

    function start() {
        if (!overview) return;  // the static sample stays
        for (const photo of overview.photos) small.set(photo.key, photo);
        const styles = overview.styles.map((name, place) => [String(place), name]);
        fill(byId("best-style"), styles);
        fill(byId("best-score"), overview.measures.map(([, words], place) => [String(place), words]));
        fill(byId("style"), [["-1", "all"], ...styles]);
        fill(byId("scope"), [["spread", "a spread over the archive"], ["all", `all ${number(overview.numPhotos)}, by name`]]);
        for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
        if (!overview.lists.length) byId("best").hidden = true;
        byId("photos-title").tabIndex = -1;
        for (const form of [byId("best-form"), byId("search-form")]) form.addEventListener("submit", (event) => event.preventDefault());
        byId("best-form").addEventListener("change", showBest);
        byId("search-form").addEventListener("change", (event) => { if (event.target !== byId("search")) showPhotos(0); });
        let timer = 0;
        byId("search").addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(() => showPhotos(0), 150);
        });
        byId("back").addEventListener("click", () => turnTo(shown.page - 1));
        byId("on").addEventListener("click", () => turnTo(shown.page + 1));
        byId("page").addEventListener("change", () => turnTo(Math.min(Math.max(Number(byId("page").value) || 1, 1), Number(byId("page").max)) - 1));
        byId("closer").addEventListener("click", (event) => { if (event.target === byId("closer")) byId("closer").close(); });
        showBest();
        showPhotos(0);
    }

    document.addEventListener("DOMContentLoaded", start);
})();
