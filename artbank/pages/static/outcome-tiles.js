// A photo beside its pictures, in tiles; a click on a picture's name opens a closer look at it.
"use strict";

(() => {
    const {byId, make, plain, score, nameOf} = artbank;
    const {isShown, photoUrl, pictureUrl, shaped, blank, showFirst, compare} = artbank;

    const scoreOf = (cell, measure) => (cell.scores ? cell.scores[measure] : null);
    const flagsOf = (cell) => (cell.flags && cell.flags.length ? plain(cell.flags.join(", ")) : null);

    // What stands for a photo: an image, or words where there is none, the same when it turns out that there is none.
    function photoTile(photo) {
        const url = photo.small || (isShown(photo.key) ? photoUrl(photo.key) : null);
        const words = () => blank(photoWords(photo), photo.shape);
        const figure = make("figure", {className: "tile"});
        if (url) {
            const image = shaped(make("img", {alt: `Photo ${plain(photo.key)}`, loading: "lazy"}), photo.shape);
            showFirst(image, [url], () => image.replaceWith(words()));
            figure.append(image);
        } else {
            figure.append(words());
        }
        figure.append(make("figcaption", {}, "photo"));
        return figure;
    }

    function photoWords(photo) {
        const suffix = (/\.([a-z0-9]{1,5})$/i.exec(photo.key) || ["", ""])[1].toUpperCase();
        return suffix && !isShown(photo.key) ? `a browser does not show ${suffix} files` : "photo not kept here";
    }

    function pictureTile(photo, column, measure, isNamed) {
        const style = artbank.overview.styles[column], cell = photo.cells[column];
        const shown = cell
            ? compare(photo, cell, style, {full: false, start: 0})
            : blank("not drawn", photo.shape);
        const told = cell && cell.state !== "f" ? captionOf(photo, column, measure, isNamed) : [plain(style)];
        return make("figure", {className: "tile"}, shown, make("figcaption", {}, ...told));
    }

    function captionOf(photo, column, measure, isNamed) {
        const cell = photo.cells[column], flags = flagsOf(cell);
        const words = isNamed ? nameOf(photo.key) : plain(artbank.overview.styles[column]);
        const button = make("button", {type: "button"}, words);
        if (!isNamed) button.append(make("span", {className: "unseen"}, ` of ${plain(photo.key)}: look closer`));
        button.addEventListener("click", () => lookCloser(photo, column));
        const told = make("span", {className: "score"}, score(scoreOf(cell, measure)));
        return [button, told, flags && make("span", {className: "aside bad"}, flags)];
    }

    function makeCard(photo, columns, measure) {
        const pictures = columns.map((column) => pictureTile(photo, column, measure, false));
        const tiles = make("div", {className: "tiles"}, photoTile(photo), ...pictures);
        return make("article", {className: "card"}, make("h3", {}, nameOf(photo.key)), tiles);
    }

    function lookCloser(photo, column) {
        const style = artbank.overview.styles[column], cell = photo.cells[column];
        const picture = compare(photo, cell, style, {full: true, start: 50});
        byId("closer-title").replaceChildren(nameOf(photo.key), `, ${plain(style)}`);
        byId("closer-body").replaceChildren(picture, factsOf(cell), linksOf(photo, cell, style));
        byId("closer").showModal();
    }

    function factsOf(cell) {
        const told = artbank.overview.measures.map(([name, words], place) => [
            `${words} (${name})`,
            score(scoreOf(cell, place)),
        ]);
        const flags = flagsOf(cell);
        if (flags) told.push(["Looks wrong", flags]);
        const entries = told.map(([term, fact]) => make("div", {}, make("dt", {}, term), make("dd", {}, fact)));
        return make("dl", {className: "facts"}, ...entries);
    }

    function linksOf(photo, cell, style) {
        const files = [["Picture file", pictureUrl(cell, photo.key, style)], ["Photo file", photoUrl(photo.key)]];
        const links = files.filter(([, url]) => url).map(([words, href]) => make("li", {}, make("a", {href}, words)));
        return make("ul", {className: "menu"}, ...links);
    }

    Object.assign(artbank, {pictureTile, makeCard});
})();
