// The best, the middling and the worst pictures by a score, large and with their photos.
"use strict";

(() => {
    const {byId, make, plain, captionOf, score, nameOf, scoreOf, showFirst, limitSize} = artbank;
    const {pictureUrls, photoUrls, photoWords, openViewer} = artbank;
    const MOST = 4;
    let shown = null;  // which strip is there
    const NONE = "No picture of this style was scored, or there was no room for it in the sample.";

    // The first of each style's list, then the second of each, and so on; each time the most extreme first.
    function found(style, measure, kind) {
        const {lists, measures, photos, styles} = artbank.overview;
        const isWanted = ([column, name, which]) => (
            name === measures[measure][0] && which === kind && (style === "" || styles[column] === style)
        );
        const wanted = lists.filter(isWanted), all = [];
        for (let rank = 0; wanted.some((list) => rank < list[3].length); rank++) {
            const entries = wanted.filter((list) => rank < list[3].length);
            const round = entries.map((list) => ({photo: photos[list[3][rank]], column: list[0]}));
            const value = ({photo, column}) => scoreOf(photo.cells[column], measure) * (kind === "worst" ? 1 : -1);
            all.push(...round.sort((a, b) => value(a) - value(b)));
        }
        return all;
    }

    function askedFor() {
        const [kind, name, style] = ["best-kind", "best-score", "best-style"].map((id) => byId(id).value);
        const measure = artbank.overview.measures.findIndex(([own]) => own === name);
        return {measure, all: found(style, measure, kind), key: [kind, name, style].join()};
    }

    // What the viewer turns over: all of the strip, also those that it has no room for.
    function deckOf(all) {
        return {
            name: "best",
            total: () => all.length,
            at: async (place) => all[place] || null,
            focus: (place) => {
                const own = byId("best-pairs").querySelectorAll(".pair")[place];
                if (own) own.focus();
            },
        };
    }

    // Shows the strip that the form asks for, unless it is there.
    function showBest() {
        const {measure, all, key} = askedFor();
        if (key === shown) return;
        shown = key;
        const deck = deckOf(all);
        const pairs = all.slice(0, MOST).map((entry, place) => makePair(entry, measure, () => openViewer(deck, place)));
        const isTall = pairs.length > 1 && shapeOf(all[0].photo) < 1;
        byId("best-pairs").classList.toggle("beside", isTall);
        byId("best-pairs").replaceChildren(...(pairs.length ? pairs : [make("p", {className: "muted"}, NONE)]));
    }

    function openBestAt(place) {
        const {all} = askedFor();
        return all.length ? openViewer(deckOf(all), Math.min(place, all.length - 1), null, {isNew: false}) : null;
    }

    const shapeOf = (photo) => Math.min(Math.max(photo.shape || 1.333, 0.5), 3);

    function makePair({photo, column}, measure, open) {
        const style = artbank.overview.styles[column], cell = photo.cells[column];
        const label = `${plain(photo.key)} in the style ${plain(style)}`;
        const picture = image(pictureUrls(photo, cell, style).reverse(), label, "picture not found here");
        const own = image(photoUrls(photo).reverse(), `Photo ${plain(photo.key)}`, photoWords(photo));
        const button = make("button", {type: "button", className: "pair"}, own, picture);
        button.style.setProperty("--shape", String(shapeOf(photo)));
        button.addEventListener("click", open);
        const told = [
            make("span", {className: "name"}, nameOf(photo.key)),
            make("span", {className: "style"}, plain(style)),
            make("span", {className: "score"}, score(scoreOf(cell, measure))),
        ];
        return make("figure", {className: "best"}, button, make("figcaption", {}, ...told), captionOf(photo));
    }

    function image(urls, alt, words) {
        const missing = () => make("span", {className: "blank"}, words);
        const holder = make("span", {className: "half"});
        if (!urls.length) {
            holder.append(missing());
            return holder;
        }
        const shown = make("img", {alt, draggable: false});
        showFirst(limitSize(shown, shown), urls, () => holder.replaceChildren(missing()));
        holder.append(shown);
        return holder;
    }

    Object.assign(artbank, {showBest, openBestAt});
})();
