// The grid: a spread over the archive, or a page of the photos that the form asks for.
"use strict";

(() => {
    const {byId, numeral, fold, choose, photoAt, makeCard} = artbank;
    const shown = {turn: 0, source: null, page: 0, key: ""};

    function readForm() {
        const words = fold(byId("search").value).split(/\s+/).filter(Boolean);
        const state = byId("state").value, column = Number(byId("style").value);
        return {words, state, column, size: Number(byId("size").value), isAll: byId("scope").value === "all"};
    }

    async function showPhotos(page) {
        const turn = ++shown.turn, asked = readForm();
        const isCurrent = () => turn === shown.turn;
        const isSpread = !asked.isAll && !asked.words.length && !asked.state;
        byId("photos").querySelector(".pager").hidden = isSpread;
        if (isSpread) return showSpread(asked);
        if (asked.words.length) byId("found").textContent = "Searching …";
        try {
            await showPage(page, asked, isCurrent);
        } catch (error) {
            if (isCurrent()) byId("found").textContent = `Not shown: ${error.message}.`;
        }
    }

    function showSpread(asked) {
        const {spread, photos, numPhotos} = artbank.overview;
        byId("found").textContent = `A spread over the archive: ${spread.length} of ${numeral(numPhotos)} photos.`;
        showCards(spread.map((place) => photos[place]), asked);
    }

    async function showPage(page, asked, isCurrent) {
        const source = sourceOf(asked);
        const found = await source.take(page * asked.size, asked.size, isCurrent);
        const photos = await Promise.all(found.map(photoAt));
        if (!isCurrent()) return;
        shown.page = page;
        showCards(photos, asked);
        const tell = () => tellPage(asked, source, page, found.length);
        tell();
        if (!source.isWhole) await source.goOn(isCurrent, tell);
    }

    // The same for each page of what was asked for, so that a search goes on where it was.
    function sourceOf(asked) {
        const key = JSON.stringify([asked.words, asked.state, asked.column]);
        if (key !== shown.key || !shown.source) Object.assign(shown, {source: choose(asked), key});
        return shown.source;
    }

    function showCards(photos, asked) {
        const columns = asked.column < 0 ? artbank.overview.styles.map((_, place) => place) : [asked.column];
        byId("cards").replaceChildren(...photos.map((photo) => makeCard(photo, columns, 0)));
    }

    function tellPage(asked, source, page, count) {
        const least = source.isWhole ? "" : "at least ", first = page * asked.size;
        const range = `Photos ${numeral(first + 1)} to ${numeral(first + count)} of ${least}${numeral(source.total)}.`;
        const pages = Math.max(Math.ceil(source.total / asked.size), 1);
        byId("found").textContent = count ? range : "No photo fits.";
        byId("page").value = page + 1;
        byId("page").max = pages;
        byId("pages").textContent = `of ${least}${numeral(pages)}`;
        byId("back").disabled = page === 0;
        byId("on").disabled = source.isWhole && page + 1 >= pages;
    }

    async function turnTo(page) {
        await showPhotos(page);
        byId("photos").scrollIntoView({block: "start"});
        byId("photos-title").focus({preventScroll: true});
    }

    const turnBy = (pages) => turnTo(shown.page + pages);

    Object.assign(artbank, {showPhotos, turnTo, turnBy});
})();
