// Photos and pictures: where they are, what stands for one that is not there, and a picture with its photo over it.
"use strict";

(() => {
    const {make, plain} = artbank;
    const SHOWN_BY_BROWSERS = /\.(jpe?g|jfif|png|webp|gif|avif|bmp)$/i;

    const isShown = (key) => SHOWN_BY_BROWSERS.test(key);

    function urlOf(base, path) {
        const parts = path.split("/");
        if (base === null || parts.some((part) => part === "" || part === "." || part === "..")) return null;
        try {
            return `${base}/${parts.map(encodeURIComponent).join("/")}`;
        } catch {
            return null;  // half a pair of surrogates
        }
    }

    const photoUrl = (key) => urlOf(artbank.overview.archive, key);

    function pictureUrl(cell, key, style) {
        if (cell.state === "d") return urlOf("..", `${style}/${key}`);
        if (cell.state === "p") return urlOf("..", `${style}/${key}.png`);
        return cell.state === "n" ? urlOf("..", cell.name) : null;
    }

    function shaped(element, shape) {
        element.style.aspectRatio = String(Math.min(Math.max(shape || 1.333, 0.66), 2.4));
        return element;
    }

    function blank(text, shape, extra) {
        return shaped(make("p", {className: `blank${extra || ""}`}, text), shape);
    }

    // Show the first of `urls` that is there; `giveUp` is called when none is.
    function showFirst(image, urls, giveUp) {
        image.addEventListener("error", () => {
            urls.shift();
            if (urls.length) image.src = urls[0];
            else giveUp();
        });
        image.src = urls[0];
    }

    function missingPicture(cell, shape) {
        if (cell.state === "c") return blank(`in the container ${plain(cell.name)}`, shape);
        if (cell.state !== "f") return null;
        return blank(`failed: ${plain(cell.reason || cell.failure || "no reason was kept")}`, shape, " bad");
    }

    // A picture with the photo over it, as far as the slider shows it; `full` takes the files before the small ones.
    function compare(photo, cell, style, {full, start}) {
        const own = pictureUrl(cell, photo.key, style);
        const urls = (full ? [own, cell.small] : [cell.small, own]).filter(Boolean);
        const missing = (words) => missingPicture(cell, photo.shape) || blank(words, photo.shape);
        if (!urls.length) return missing("not to be shown here");
        const box = shaped(make("div", {className: "compare"}), photo.shape);
        const label = `${plain(photo.key)} in the style ${plain(style)}`;
        const picture = make("img", {className: "picture", alt: label, loading: "lazy", draggable: false});
        showFirst(picture, urls, () => box.replaceWith(missing("picture not found here")));
        box.append(picture);
        addPhoto(box, photo, label, {full, start});
        return box;
    }

    function addPhoto(box, photo, label, {full, start}) {
        const there = isShown(photo.key) ? photoUrl(photo.key) : null;
        const urls = (full ? [there, photo.small] : [photo.small, there]).filter(Boolean);
        if (!urls.length) return;
        const over = make("img", {className: "photo", alt: "", loading: "lazy", draggable: false});
        const added = [over, make("div", {className: "edge"}), makeSlider(box, label, start)];
        showFirst(over, urls, () => added.forEach((element) => element.remove()));
        box.append(...added);
    }

    function makeSlider(box, label, start) {
        const words = `How much of the photo shows over ${label}`;
        const slider = make("input", {type: "range", min: 0, max: 100, step: 1, "aria-label": words});
        const move = () => {
            box.style.setProperty("--cut", `${slider.value}%`);
            slider.setAttribute("aria-valuetext", `${slider.value} % photo`);
        };
        slider.value = start;
        slider.addEventListener("input", move);
        move();
        return slider;
    }

    Object.assign(artbank, {isShown, photoUrl, pictureUrl, shaped, blank, showFirst, compare});
})();
