// The page of an output, the last of its scripts: fills the forms, listens to them, shows what they ask for.
"use strict";

(() => {
    const {byId, make, plain, numeral, showBest, showPhotos, turnTo, turnBy} = artbank;
    const TYPED_MS = 150;  // a search begins when nothing was typed for so long

    function fill(select, options) {
        select.replaceChildren(...options.map(([value, words]) => make("option", {value}, plain(words))));
    }

    function fillForms({styles, measures, numPhotos, lists}) {
        const columns = styles.map((name, place) => [String(place), name]);
        fill(byId("best-style"), columns);
        fill(byId("best-score"), measures.map(([, words], place) => [String(place), words]));
        fill(byId("style"), [["-1", "all"], ...columns]);
        fill(byId("scope"), [["spread", "a spread over the archive"], ["all", `all ${numeral(numPhotos)}, by name`]]);
        for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
        if (!lists.length) byId("best").hidden = true;
        byId("photos-title").tabIndex = -1;
    }

    function listenToForms() {
        for (const form of [byId("best-form"), byId("search-form")]) {
            form.addEventListener("submit", (event) => event.preventDefault());
        }
        byId("best-form").addEventListener("change", showBest);
        let timer = 0;
        byId("search-form").addEventListener("change", (event) => {
            if (event.target === byId("search")) return;
            clearTimeout(timer);  // else it would lead back to the first page
            showPhotos(0);
        });
        byId("search").addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(() => showPhotos(0), TYPED_MS);
        });
    }

    function listenToPages() {
        const page = byId("page"), closer = byId("closer");
        byId("back").addEventListener("click", () => turnBy(-1));
        byId("on").addEventListener("click", () => turnBy(1));
        page.addEventListener("change", () => {
            turnTo(Math.min(Math.max(Number(page.value) || 1, 1), Number(page.max)) - 1);
        });
        closer.addEventListener("click", (event) => {
            if (event.target === closer) closer.close();
        });
    }

    function start() {
        if (!artbank.overview) return;  // the static sample stays
        fillForms(artbank.overview);
        listenToForms();
        listenToPages();
        showBest();
        showPhotos(0);
    }

    document.addEventListener("DOMContentLoaded", start);
})();
