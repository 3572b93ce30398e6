// The rows of an output: the overview of all, and chunks of them, of which those last asked for stay in memory.
//
// Data come as scripts that call `artbank.receive`, for a page opened from a disk may not fetch its neighbours.
// This script is the first: those of the page share the object `artbank` and add to it what the later ones use.
"use strict";

window.artbank = {overview: null};

(() => {
    const SCALE = 10000, NOTHING = -32768;
    const KEPT_NAMES = 512, KEPT_FACTS = 128;  // chunks in memory

    const waiting = new Map();
    const sample = new Map();  // photos of the overview, by key

    function receive(name, facts) {
        if (name === "overview") {
            artbank.overview = facts;
            for (const photo of facts.photos) sample.set(photo.key, photo);
        } else if (waiting.has(name)) {
            waiting.get(name)(facts);
            waiting.delete(name);
        }
    }

    function load(file, name) {
        return new Promise((resolve, reject) => {
            const element = document.createElement("script");
            waiting.set(name, (facts) => {
                element.remove();
                resolve(facts);
            });
            element.addEventListener("error", () => {
                element.remove();
                waiting.delete(name);
                reject(new Error("a part of this page is gone: it was written anew meanwhile; load it again"));
            });
            element.src = file;
            document.head.append(element);
        });
    }

    // What reads a chunk by its number; `place` is where the overview has the file of this kind.
    function reader(kind, place, most, read) {
        const cache = new Map();
        return (number) => {
            let chunk = cache.get(number);
            if (!chunk) {
                chunk = load(artbank.overview.chunks[number][place], `${kind}-${number}`).then(read);
                chunk.catch(() => cache.delete(number));
            }
            cache.delete(number);  // what was asked for last is kept longest
            cache.set(number, chunk);
            if (cache.size > most) cache.delete(cache.keys().next().value);
            return chunk;
        };
    }

    const namesOf = reader("names", 0, KEPT_NAMES, readNames);
    const factsOf = reader("facts", 1, KEPT_FACTS, readFacts);

    function readNames(told) {
        const keys = [];
        let place = 0;
        for (const [folder, count] of told.folders) {
            const start = folder ? `${folder}/` : "";
            for (const end = place + count; place < end; place++) keys.push(start + told.names[place]);
        }
        return {keys, captions: told.captions || {}, text: null, lines: null};
    }

    function readFacts(told) {
        const styles = told.styles.map((style) => ({...style, scores: style.scores.map(unpack)}));
        return {shape: unpack(told.shape), styles};
    }

    function unpack(text) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const view = new DataView(bytes.buffer);
        return Int16Array.from({length: bytes.length / 2}, (_, place) => view.getInt16(2 * place, true));
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
        const {photosInAChunk} = artbank.overview;
        const number = Math.floor(index / photosInAChunk), place = index % photosInAChunk;
        const [names, facts] = await Promise.all([namesOf(number), factsOf(number)]);
        const key = names.keys[place], known = sample.get(key);
        const cells = facts.styles.map((style) => cellOf(style, place));
        if (known) addSmall(cells, known.cells);
        const caption = names.captions[place] || null;
        return {key, caption, small: known ? known.small : null, shape: facts.shape[place] / 1000 || null, cells};
    }

    function addSmall(cells, known) {
        cells.forEach((cell, column) => {
            if (cell && known[column]) Object.assign(cell, {small: known[column].small, size: known[column].size});
        });
    }

    Object.assign(artbank, {SCALE, NOTHING, receive, namesOf, factsOf, photoAt});
})();
