// A photo beside its pictures in tiles, and a picture in the grid; a click opens a close look.
"use strict";

(() => {
    const {make, plain, captionOf, score, nameOf, isShown, photoUrl, photoWords, pictureUrls, photoUrls} = artbank;
    const {shaped, blank, showFirst, limitSize, compare, missingPicture, markOf, markByKey} = artbank;

    const scoreOf = (cell, measure) => (cell && cell.scores ? cell.scores[measure] : null);
    const flagsOf = (cell) => (cell.flags && cell.flags.length ? plain(cell.flags.join(", ")) : null);

    // What stands for a photo: an image, or words where there is none, the same when it turns out that there is none.
    function photoTile(photo) {
        const url = photo.small || (isShown(photo.key) ? photoUrl(photo.key) : null);
        const words = () => blank(photoWords(photo), photo.shape);
        const figure = make("figure", {className: "tile"});
        if (url) {
            const image = shaped(make("img", {alt: `Photo ${plain(photo.key)}`, loading: "lazy"}), photo.shape);
            showFirst(limitSize(image, image), [url], () => image.replaceWith(words()));
            figure.append(image);
        } else {
            figure.append(words());
        }
        figure.append(make("figcaption", {}, "photo"));
        return figure;
    }

    function pictureTile(photo, column, measure, open) {
        const style = artbank.overview.styles[column], cell = photo.cells[column];
        const shown = cell ? compare(photo, cell, style) : blank("not drawn", photo.shape);
        const words = plain(style);
        if (!cell || cell.state === "f") return make("figure", {className: "tile"}, shown, make("figcaption", {}, words));
        const button = make("button", {type: "button"}, words, make("span", {className: "unseen"}, ` of ${plain(photo.key)}: look closer`));
        button.addEventListener("click", open);
        const told = [
            button,
            make("span", {className: "score"}, score(scoreOf(cell, measure))),
            flagsOf(cell) && make("span", {className: "aside bad"}, flagsOf(cell)),
        ];
        const figure = make("figure", {className: "tile marked"}, shown, make("figcaption", {}, ...told));
        figure.showMark = () => showMark(figure, markOf(style, photo.key));
        figure.showMark();
        return figure;
    }

    function makeCard(photo, columns, measure, open) {
        const pictures = columns.map((column) => pictureTile(photo, column, measure, () => open(column)));
        const tiles = make("div", {className: "tiles"}, photoTile(photo), ...pictures);
        return make("article", {className: "card"}, make("h3", {}, nameOf(photo.key)), captionOf(photo), tiles);
    }

    function showMark(element, {decision, stars}) {
        const words = [decision === "pick" ? "picked" : decision === "reject" ? "rejected" : "", stars ? "★".repeat(stars) : ""];
        element.dataset.mark = words.filter(Boolean).join(" ");
        element.classList.toggle("picked", decision === "pick");
        element.classList.toggle("rejected", decision === "reject");
    }

    // A picture of the grid: its width follows from its shape, the photo shows while the mouse is over it.
    function gridCell(photo, column, measure, open) {
        const style = artbank.overview.styles[column], cell = photo.cells[column];
        const figure = make("figure", {className: "cell marked"});
        figure.style.setProperty("--shape", String(Math.min(Math.max(photo.shape || 1.333, 0.5), 3)));
        const button = make("button", {type: "button", className: "look"});
        const giveUp = () => button.replaceChildren(...wordsFor(photo, cell, style));
        const urls = cell ? pictureUrls(photo, cell, style).reverse() : [];
        if (urls.length) {
            const image = make("img", {alt: `${plain(photo.key)} in the style ${plain(style)}`, loading: "lazy", draggable: false});
            showFirst(limitSize(image, image), urls, giveUp);
            button.append(image);
            button.addEventListener("pointerenter", () => showPhotoOver(button, photo), {once: true});
        } else {
            giveUp();
        }
        button.addEventListener("click", open);
        button.addEventListener("keydown", (event) => {
            if (event.ctrlKey || event.metaKey || event.altKey) return;
            if (markByKey(event.key, style, photo.key)) event.preventDefault();
        });
        figure.append(button, make("figcaption", {}, ...cellWords(photo, cell, style, measure)));
        figure.showMark = () => showMark(figure, markOf(style, photo.key));
        figure.showMark();
        return figure;
    }

    function wordsFor(photo, cell, style) {
        const said = cell ? missingPicture(cell, null) : null;
        const words = said ? said.textContent : cell ? "picture not found here" : "not drawn";
        return [
            make("span", {className: said && cell.state === "f" ? "blank bad" : "blank"}, words),
            make("span", {className: "unseen"}, ` ${plain(photo.key)} in the style ${plain(style)}`),
        ];
    }

    function showPhotoOver(button, photo) {
        const [url] = photoUrls(photo).reverse();
        if (!url) return;
        const over = make("img", {className: "over", alt: "", draggable: false});
        over.addEventListener("error", () => over.remove());
        over.src = url;
        button.append(over);
    }

    function cellWords(photo, cell, style, measure) {
        const name = make("bdi", {className: "name", title: plain(photo.key)}, plain(photo.key.slice(photo.key.lastIndexOf("/") + 1)));
        const told = artbank.overview.styles.length > 1 ? plain(style) : "";
        const flags = cell && flagsOf(cell);
        return [
            name,
            make("span", {className: "score"}, cell && cell.state !== "f" ? score(scoreOf(cell, measure)) : ""),
            make("span", {className: "aside"}, told, flags && make("span", {className: "bad"}, `${told ? " · " : ""}${flags}`)),
            captionOf(photo),
        ];
    }

    Object.assign(artbank, {scoreOf, makeCard, gridCell});
})();
