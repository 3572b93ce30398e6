// A page of the pictures, or of the photos, that the form asks for.
"use strict";

(() => {
    const {byId, numeral, choose, photoAt, makeCard, gridCell, openViewer} = artbank;
    const {view, viewKey, askedFor, writeAddress, onMarks} = artbank;
    const shown = {turn: 0, source: null, key: "", asked: null};

    const percent = (share) => `${Math.floor(100 * share)} %`;

    async function showPhotos(page, {isAddressed = false} = {}) {
        const turn = ++shown.turn, asked = askedFor();
        const isCurrent = () => turn === shown.turn;
        view.page = page;
        view.shown = viewKey();
        if (!isAddressed) writeAddress();
        try {
            await showPage(asked, isCurrent);
        } catch (error) {
            if (isCurrent()) byId("found").textContent = `Not shown: ${error.message}.`;
        }
    }

    async function showPage(asked, isCurrent) {
        const source = sourceOf(asked), start = view.page * asked.size;
        const tellShare = ({share}) => {
            if (isCurrent()) byId("found").textContent = `${asked.sort ? "Sorting" : "Searching"} … ${percent(share)}`;
        };
        const items = await source.take(start, asked.size, isCurrent, tellShare);
        if (isCurrent() && !items.length && view.page && source.isWhole) {
            view.page = Math.max(Math.ceil(source.total / asked.size), 1) - 1;  // of an address of another time
            return source.total ? showPage(asked, isCurrent) : tellPage(asked, source, 0);
        }
        const entries = await Promise.all(items.map((item) => entryOf(item, asked)));
        if (!isCurrent()) return;
        shown.asked = asked;
        showEntries(entries, asked, start);
        const tell = () => tellPage(asked, source, items.length);
        tell();
        if (!source.isWhole) await source.goOn(isCurrent, tell);
    }

    // The same for each page of what was asked for, so that a search goes on where it was.
    function sourceOf(asked) {
        const {size, ...rest} = asked, key = JSON.stringify(rest);
        if (key !== shown.key || !shown.source) Object.assign(shown, {source: choose(asked), key});
        return shown.source;
    }

    // Marks that have changed may change what fits.
    function forgetSource() {
        shown.source = null;
    }

    async function entryOf(item, asked) {
        const {styles} = artbank.overview;
        if (!asked.isByPhoto) return {photo: await photoAt(Math.floor(item / styles.length)), column: item % styles.length};
        const photo = await photoAt(item), isDone = (cell) => cell && cell.state !== "f";
        const first = photo.cells.findIndex(isDone);
        return {photo, column: asked.column >= 0 ? asked.column : Math.max(first, 0)};
    }

    // What the viewer turns over: all that fits, from the page on.
    function deckOf(asked) {
        const source = sourceOf(asked);
        return {
            name: "open",
            total: () => (source.isWhole ? source.total : null),
            at: async (place) => {
                const [item] = await source.take(place, 1, () => true);
                return item === undefined ? null : entryOf(item, asked);
            },
            focus: (place) => {
                const own = byId("cards").querySelector(`[data-place="${place}"] .look`);
                if (own) own.focus();
            },
        };
    }

    function openAt(place) {
        const asked = askedFor();
        return openViewer(deckOf(asked), place, null, {isNew: false});
    }

    function showEntries(entries, asked, start) {
        const {styles, measures} = artbank.overview, measure = asked.sort ? asked.sort.measure : 0;
        const columns = asked.column < 0 ? styles.map((_, place) => place) : [asked.column];
        const deck = deckOf(asked);
        byId("measure").textContent = measures.length ? measures[measure][1] : "";
        byId("cards").className = asked.isByPhoto ? "cards" : "justified";
        byId("cards").replaceChildren(...entries.map(({photo, column}, place) => {
            const open = (own = column) => openViewer(deck, start + place, own);
            const made = asked.isByPhoto
                ? makeCard(photo, columns, measure, open)
                : gridCell(photo, column, measure, () => open());
            made.dataset.place = start + place;
            return made;
        }));
    }

    function tellPage(asked, source, count) {
        const least = source.isWhole ? "" : "at least ", first = view.page * asked.size;
        const noun = asked.isByPhoto ? "Photos" : "Pictures";
        const range = `${noun} ${numeral(first + 1)} to ${numeral(first + count)} of ${least}${numeral(source.total)}.`;
        const pages = Math.max(Math.ceil(source.total / asked.size), 1);
        byId("found").textContent = count ? range : `No ${noun.slice(0, -1).toLowerCase()} fits.`;
        if (!count) byId("cards").replaceChildren();
        byId("pager").hidden = source.isWhole && pages === 1;
        byId("page").value = view.page + 1;
        byId("page").max = pages;
        byId("pages").textContent = `of ${least}${numeral(pages)}`;
        byId("back").disabled = view.page === 0;
        byId("on").disabled = source.isWhole && view.page + 1 >= pages;
    }

    async function turnTo(page) {
        await showPhotos(page);
        byId("photos").scrollIntoView({block: "start"});
        byId("photos-title").focus({preventScroll: true});
    }

    function setUpGrid() {
        onMarks(() => document.querySelectorAll("#cards .marked").forEach((element) => element.showMark && element.showMark()));
    }

    Object.assign(artbank, {showPhotos, turnTo, openAt, forgetSource, setUpGrid});
})();
