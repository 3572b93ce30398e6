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

    // Small pictures get larger than this no more: that many pixels of the screen for one of theirs.
    const MOST_ENLARGED = 3;

    function limitSize(image, element) {
        const limit = () => {
            if (image.naturalWidth) element.style.maxWidth = `${MOST_ENLARGED * image.naturalWidth}px`;
        };
        image.addEventListener("load", limit);
        limit();
        return image;
    }

    const pictureUrls = (photo, cell, style) => [pictureUrl(cell, photo.key, style), cell.small].filter(Boolean);
    const photoUrls = (photo) => [isShown(photo.key) ? photoUrl(photo.key) : null, photo.small].filter(Boolean);

    function photoWords(photo) {
        const suffix = (/\.([a-z0-9]{1,5})$/i.exec(photo.key) || ["", ""])[1].toUpperCase();
        return suffix && !isShown(photo.key) ? `a browser does not show ${suffix} files` : "photo not kept here";
    }

    // A small picture with its photo over it, as far as the slider shows it.
    function compare(photo, cell, style) {
        const urls = pictureUrls(photo, cell, style).reverse();
        const missing = (words) => missingPicture(cell, photo.shape) || blank(words, photo.shape);
        if (!urls.length) return missing("not to be shown here");
        const box = shaped(make("div", {className: "compare"}), photo.shape);
        const label = `${plain(photo.key)} in the style ${plain(style)}`;
        const picture = make("img", {className: "picture", alt: label, loading: "lazy", draggable: false});
        limitSize(picture, box);
        showFirst(picture, urls, () => box.replaceWith(missing("picture not found here")));
        box.append(picture);
        addPhoto(box, photo, label);
        return box;
    }

    function addPhoto(box, photo, label) {
        const urls = photoUrls(photo).reverse();
        if (!urls.length) return;
        const over = make("img", {className: "photo", alt: "", loading: "lazy", draggable: false});
        const added = [over, make("div", {className: "edge"}), makeSlider(box, label)];
        showFirst(over, urls, () => added.forEach((element) => element.remove()));
        box.append(...added);
    }

    function makeSlider(box, label) {
        const words = `How much of the photo shows over ${label}`;
        const slider = make("input", {type: "range", min: 0, max: 100, step: 1, "aria-label": words});
        const move = () => {
            box.style.setProperty("--cut", `${slider.value}%`);
            slider.setAttribute("aria-valuetext", `${slider.value} % photo`);
        };
        slider.value = 0;
        slider.addEventListener("input", move);
        move();
        return slider;
    }

    Object.assign(artbank, {
        MOST_ENLARGED, isShown, photoUrl, pictureUrl, pictureUrls, photoUrls, photoWords, missingPicture,
        shaped, blank, showFirst, limitSize, compare,
    });
})();
