// Which photos are wanted: all or those of a status by counts, those of a name by a search.
"use strict";

(() => {
    const {namesOf, factsOf} = artbank;
    const AHEAD = 8;  // chunks of names that are on their way at a time
    const SEARCHED_ON = 256;  // chunks that a search reads after it has filled its page

    const fold = (text) => text.normalize("NFC").toLowerCase();

    function textOf(chunk) {
        if (chunk.text === null) chunk.text = fold(chunk.keys.map((key) => key.replace(/\n/g, " ")).join("\n"));
        return chunk.text;
    }

    async function searchChunk(number, words) {
        const chunk = await namesOf(number);
        const text = textOf(chunk);
        if (!words.every((word) => text.includes(word))) return [];
        chunk.lines = chunk.lines || text.split("\n");
        const found = [];
        chunk.lines.forEach((line, place) => {
            if (words.every((word) => line.includes(word))) found.push(place);
        });
        return found;
    }

    function isState(state, style, place) {
        const letter = style.states[place];
        if (state === "absent") return letter === " ";
        if (state === "failed") return letter === "f";
        const isDone = letter !== " " && letter !== "f";
        return state === "flagged" ? isDone && Boolean((style.flags || {})[place]) : isDone;
    }

    function sizeOf(number) {
        const {photosInAChunk, numPhotos} = artbank.overview;
        return Math.min(photosInAChunk, numPhotos - number * photosInAChunk);
    }

    // How many photos of a chunk may fit: exact without a search.
    function countOf(number, asked) {
        const {chunks, states} = artbank.overview;
        return asked.state ? chunks[number][2][asked.column + 1][states.indexOf(asked.state)] : sizeOf(number);
    }

    async function fitting(number, asked) {
        const start = number * artbank.overview.photosInAChunk;
        const all = () => Array.from({length: sizeOf(number)}, (_, place) => place);
        let places = asked.words.length ? await searchChunk(number, asked.words) : all();
        if (asked.state && places.length) {
            const {styles} = await factsOf(number);
            const columns = asked.column < 0 ? styles : [styles[asked.column]];
            places = places.filter((place) => columns.some((style) => isState(asked.state, style, place)));
        }
        return places.map((place) => start + place);
    }

    class Counted {
        constructor(asked) {
            this.asked = asked;
            this.total = artbank.overview.chunks.reduce((sum, _, number) => sum + countOf(number, asked), 0);
            this.isWhole = true;
        }

        async take(start, count) {
            const found = [], numChunks = artbank.overview.chunks.length;
            let before = 0;
            for (let number = 0; number < numChunks && found.length < count; number++) {
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
            Object.assign(this, {asked, found: [], next: 0, numChunks: artbank.overview.chunks.length});
        }

        get total() { return this.found.length; }
        get isWhole() { return this.next >= this.numChunks; }

        async step() {
            const number = this.next;
            for (let ahead = number + 1; ahead < Math.min(number + AHEAD, this.numChunks); ahead++) namesOf(ahead);
            if (countOf(number, this.asked)) this.found.push(...await fitting(number, this.asked));
            this.next = number + 1;
        }

        async take(start, count, isCurrent) {
            while (!this.isWhole && this.found.length < start + count && isCurrent()) await this.step();
            return this.found.slice(start, start + count);
        }

        async goOn(isCurrent, tell) {
            const end = Math.min(this.numChunks, this.next + SEARCHED_ON);
            while (this.next < end && isCurrent()) await this.step();
            if (isCurrent()) tell();
        }
    }

    // Where photos are taken from, by their places in the archive, for `asked`: words, a status, a style's column.
    const choose = (asked) => (asked.words.length ? new Searched(asked) : new Counted(asked));

    Object.assign(artbank, {fold, choose});
})();
