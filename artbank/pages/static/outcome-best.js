// The best, the middling and the worst pictures of a style by a score.
"use strict";

(() => {
    const {byId, make, pictureTile} = artbank;
    const KINDS = [["best", "Best"], ["median", "In the middle"], ["worst", "Worst"]];
    const NONE = "No picture of this style was scored, or there was no room for it in the sample.";

    function showBest() {
        const column = Number(byId("best-style").value), measure = Number(byId("best-score").value);
        const groups = KINDS.map(([kind, title]) => makeGroup(column, measure, kind, title)).filter(Boolean);
        byId("best-lists").replaceChildren(...(groups.length ? groups : [make("p", {className: "muted"}, NONE)]));
    }

    function makeGroup(column, measure, kind, title) {
        const {lists, measures, photos} = artbank.overview;
        const isWanted = (list) => list[0] === column && list[1] === measures[measure][0] && list[2] === kind;
        const found = lists.find(isWanted);
        if (!found) return null;
        const tiles = found[3].map((place) => pictureTile(photos[place], column, measure, true));
        return make("div", {className: "group"}, make("h3", {}, title), make("div", {className: "tiles"}, ...tiles));
    }

    Object.assign(artbank, {showBest});
})();
