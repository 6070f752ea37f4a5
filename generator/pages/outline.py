"""From content to the list of pages."""

from __future__ import annotations

from generator.pages.classes_page import classes_pages
from generator.pages.content import GalleryContent, Page
from generator.pages.gallery import Gallery
from generator.pages.glossary import glossary_page
from generator.pages.health_page import health_pages
from generator.pages.hierarchy_page import hierarchy_pages
from generator.pages.images_page import images_pages
from generator.pages.journey_page import journey_pages
from generator.pages.layer_page import layer_pages
from generator.pages.model_page import model_page
from generator.pages.site_pages import absolute_pages, site_pages
from generator.pages.summary_page import summary_page
from generator.pages.unit_page import unit_pages
from generator.pages.walkthrough_pages import walkthrough_pages


def outline(content: GalleryContent) -> list[Page]:
    """Every page of the site, each with exactly what it shows; `rendering.render` makes its text.

    Raises ValueError where content breaks a contract between rooms (a picture's path that is not safe inside CSS).
    """
    gallery = Gallery(content)
    pages = [*site_pages(gallery), *walkthrough_pages(gallery), glossary_page(gallery)]
    for model in gallery.models:
        pages.append(model_page(gallery, model))
        pages.extend(layer_pages(gallery, model))
        pages.extend(unit_pages(gallery, model))
        pages.extend(images_pages(gallery, model))
        pages.extend(hierarchy_pages(gallery, model))
        pages.extend(journey_pages(gallery, model))
        pages.extend(health_pages(gallery, model))
        pages.append(summary_page(gallery, model))
        pages.extend(classes_pages(gallery, model))
    if content.base_url:
        pages.extend(absolute_pages(gallery, content.base_url, pages))
    return pages
