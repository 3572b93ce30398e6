// The pictures or photos that fit what is asked for, in its order, taken from chunks of rows.
//
// An item is the number of a photo, or photo times the number of styles plus column for one of its pictures.
"use strict";

(() => {
    const {SCALE, NOTHING, namesOf, factsOf, markOf} = artbank;
    const AHEAD = 8;  // chunks that are on their way at a time
    const READ_ON = 256;  // chunks that a search reads after it has filled its page
    const LAST = 70_000, ITEMS = 2 ** 36;  // rank of what has no score; more than there are items

    const fold = (text) => text.normalize("NFC").toLowerCase();

    const oneLine = (text) => text.replace(/\n/g, " ");

    function textOf(chunk) {
        const lineOf = (key, place) => oneLine(place in chunk.captions ? `${key} ${chunk.captions[place]}` : key);
        if (chunk.text === null) chunk.text = fold(chunk.keys.map(lineOf).join("\n"));
        return chunk.text;
    }

    // The places in a chunk whose name or caption has all words.
    async function search(number, words) {
        const chunk = await namesOf(number), text = textOf(chunk), found = [];
        if (!words.every((word) => text.includes(word))) return found;
        chunk.lines = chunk.lines || text.split("\n");
        chunk.lines.forEach((line, place) => {
            if (words.every((word) => line.includes(word))) found.push(place);
        });
        return found;
    }

    function sizeOf(number) {
        const {photosInAChunk, numPhotos} = artbank.overview;
        return Math.min(photosInAChunk, numPhotos - number * photosInAChunk);
    }

    const columnsOf = ({column}) => (column < 0 ? artbank.overview.styles.map((_, place) => place) : [column]);

    // How many items of a chunk have the state; no more than these can fit.
    function countOf(number, asked) {
        const {chunks, states} = artbank.overview, counts = chunks[number][2];
        const count = (column, state) => counts[column + 1][states.indexOf(state)];
        if (asked.isByPhoto) return asked.state ? count(asked.column, asked.state) : sizeOf(number);
        const wanted = asked.state ? [asked.state] : ["done", "failed"];
        return columnsOf(asked).reduce((sum, column) => (
            wanted.reduce((own, state) => own + count(column, state), sum)
        ), 0);
    }

    function isState(asked, style, place) {
        const letter = style.states[place], {state, failure} = asked;
        if (state === "absent") return letter === " ";
        if (state === "failed") return letter === "f" && (!failure || (style.failed || {})[place][0] === failure);
        if (!state) return asked.isByPhoto || letter !== " ";
        const isDone = letter !== " " && letter !== "f";
        return state === "flagged" ? isDone && Boolean((style.flags || {})[place]) : isDone;
    }

    function isInRanges({ranges}, style, place) {
        return ranges.every(([measure, low, high]) => {
            const value = style.scores[measure][place];
            return value !== NOTHING && value / SCALE >= low && value / SCALE < high;
        });
    }

    function isJudged(judged, {decision, stars}) {
        if (judged === "picked") return decision === "pick";
        if (judged === "rejected") return decision === "reject";
        if (judged === "open") return !decision && !stars;
        return stars >= Number(judged);
    }

    // Smaller comes first.
    function rankOf({sort}, style, place) {
        if (!sort) return 0;
        const value = style.scores[sort.measure][place];
        if (value === NOTHING) return LAST;
        return sort.isDown ? 32767 - value : value + 32768;
    }

    // The items of a chunk that fit, each times `ITEMS` its rank more than its number.
    async function fitting(number, asked) {
        const {styles, photosInAChunk} = artbank.overview, columns = columnsOf(asked), found = [];
        const places = asked.words.length ? await search(number, asked.words) : Array(sizeOf(number)).keys();
        if (Array.isArray(places) && !places.length) return found;
        const [names, facts] = await Promise.all([asked.judged ? namesOf(number) : null, factsOf(number)]);
        for (const place of places) {
            const photo = number * photosInAChunk + place;
            let least = Infinity;
            for (const column of columns) {
                const style = facts.styles[column];
                if (!isState(asked, style, place) || !isInRanges(asked, style, place)) continue;
                if (asked.judged && !isJudged(asked.judged, markOf(styles[column], names.keys[place]))) continue;
                const rank = rankOf(asked, style, place);
                if (asked.isByPhoto) least = Math.min(least, rank * ITEMS + photo);
                else found.push(rank * ITEMS + photo * styles.length + column);
            }
            if (least < Infinity) found.push(least);
        }
        return found;
    }

    const toItem = (ranked) => ranked % ITEMS;

    // By name, of a state at most: the counts of the chunks tell where each page begins.
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
            return found.map(toItem);
        }
    }

    // All else: chunk after chunk, and all of them before the first page of an order by score.
    class Scanned {
        constructor(asked) {
            Object.assign(this, {asked, found: [], next: 0, numChunks: artbank.overview.chunks.length});
        }

        get total() { return this.found.length; }
        get isWhole() { return this.next >= this.numChunks; }
        get share() { return this.numChunks ? this.next / this.numChunks : 1; }

        async step() {
            const number = this.next, {words, judged} = this.asked;
            for (let ahead = number + 1; ahead < Math.min(number + AHEAD, this.numChunks); ahead++) {
                if (!words.length) factsOf(ahead).catch(() => {});
                if (words.length || judged) namesOf(ahead).catch(() => {});
            }
            const more = countOf(number, this.asked) ? await fitting(number, this.asked) : [];
            if (this.next !== number) return;  // another page of the same search read it meanwhile
            for (const item of more) this.found.push(item);
            this.next = number + 1;
            if (this.isWhole && this.asked.sort) this.found = Float64Array.from(this.found).sort();
        }

        async take(start, count, isCurrent, tell) {
            const isEnough = () => !this.asked.sort && this.found.length >= start + count;
            while (!this.isWhole && !isEnough() && isCurrent()) {
                await this.step();
                if (tell) tell(this);
            }
            return Array.from(this.found.slice(start, start + count), toItem);
        }

        async goOn(isCurrent, tell) {
            const end = Math.min(this.numChunks, this.next + READ_ON);
            while (this.next < end && isCurrent()) await this.step();
            if (isCurrent()) tell();
        }
    }

    // Where items are taken from; `asked` has words, column, state, failure, judged, ranges, sort and isByPhoto.
    function choose(asked) {
        const isCounted = !asked.words.length && !asked.failure && !asked.judged && !asked.ranges.length && !asked.sort;
        return isCounted ? new Counted(asked) : new Scanned(asked);
    }

    Object.assign(artbank, {fold, choose});
})();
