"""Images in a plane: those that the model takes for alike lie together, and a cluster leads to its pictures."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from auditor.auditing.suspect_pictures import THUMBNAIL, show_embedding
from auditor.discovery.candidate import Candidate, Proposal
from auditor.discovery.embedding import embed, last_features
from auditor.measure.ledger import NewArrays
from auditor.report.clouds import Cloud, plot_clouds
from auditor.report.write import draw_page
from auditor.run.store import SavedRun
from tests.small_audits import audit
from tests.test_discovery import classifier, material, pictures
from tests.test_suspecting import planted


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {
        "discovery": {"sources": ["stamps"]},
        "explain": {"images": 6, "exemplars": 2},
        "report": {"formats": ["markdown"]},
    }
    return audit(tmp_path_factory.mktemp("embedding") / "audit", artefacts=[], data=planted(), settings=settings)


class TestTheEmbedding:
    def test_keeps_the_distances_of_a_plane(self):
        images, labels, _ = pictures()
        given = material(classifier(), images, labels)
        found = embed(given)
        scores = given.seen.scores[found.rows].astype(np.float64)
        apart = np.linalg.norm(scores[:40, None] - scores[None, :40], axis=-1)
        placed = np.linalg.norm(found.points[:40, None] - found.points[None, :40], axis=-1)
        assert (placed <= apart + 1e-6).all()
        assert sum(found.held) > 0.9
        np.testing.assert_allclose(np.median(placed / np.maximum(apart, 1e-9)), 1, atol=0.1)

    def test_puts_those_that_are_recognised_by_the_mark_into_clusters_of_their_own(self):
        images, labels, carries = pictures(share=0.5)
        found = embed(material(classifier(), images, labels))
        for number in range(found.labels.max() + 1):
            assert carries[found.rows[found.labels == number]].mean() in (0, 1)

    def test_is_by_scores_where_feature_maps_have_fewer_channels_than_there_are_classes(self):
        images, labels, _ = pictures()
        given = material(classifier(), images, labels)
        assert last_features(given, np.arange(5))[1] == "scores"

    def test_is_by_the_mean_of_each_channel_where_there_are_enough(self):
        images, labels, _ = pictures()
        coloured = np.repeat(images, 3, axis=-1)
        model = classifier()
        wide = replace(model, weights=np.repeat(model.weights, 3, axis=-1))
        values, told = last_features(material(wide, coloured, labels), np.arange(5))
        assert told == "features of layer pixels"
        np.testing.assert_allclose(values, coloured[:5].mean(axis=(1, 2)), atol=1e-6)

    def test_of_images_that_do_not_differ_is_none(self):
        images, labels, _ = pictures()
        assert embed(material(classifier(), np.repeat(images[:1], len(images), axis=0), labels)) is None

    def test_of_few_images_is_none(self):
        images, labels, _ = pictures(count=20)
        assert embed(material(classifier(), images, labels)) is None

    def test_without_scikit_learn_all_images_are_one_cluster(self, monkeypatch):
        images, labels, _ = pictures()
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert embed(material(classifier(), images, labels)).labels.max() == 0


class TestWhatIsKept:
    def test_says_which_cluster_a_suspect_lies_in(self):
        images, labels, carries = pictures(share=0.5)
        strong = tuple(np.flatnonzero(carries).tolist())
        suspect = Candidate("suspect 1: corner", Proposal("stamps", 2, (), 1.0, strong), None, 1.0, 0.0)
        record = show_embedding(material(classifier(), images, labels), [suspect], NewArrays())
        homes = [cluster for cluster in record.clusters if cluster.suspects]
        (home,) = homes
        assert list(home.suspects) == [suspect.name]
        assert sum(len(cluster.points) for cluster in record.clusters) == len(images)

    def test_a_contact_sheet_holds_thumbnails_alone(self):
        images, labels, _ = pictures()
        large = np.repeat(np.repeat(images, 20, axis=1), 20, axis=2)
        model = classifier()
        weights = np.repeat(np.repeat(model.weights, 20, axis=1), 20, axis=2) / 400
        arrays = NewArrays()
        show_embedding(material(replace(model, weights=weights), large, labels), [], arrays)
        kept = {key: arrays[key] for key in arrays if key.startswith("cluster")}
        assert kept
        assert max(sheet.shape[1] for sheet in kept.values()) <= 6 * (THUMBNAIL + 2)


class TestThePlot:
    def test_draws_each_image_and_leads_to_each_cluster(self):
        clouds = [Cloud("Cluster 1", [(0, 0), (1, 2)], "cluster-1"), Cloud("Cluster <2>", [(3, 1)], "cluster-2")]
        wide = ElementTree.fromstring(
            str(plot_clouds(clouds, "Where?", ("one", "two"), "plot")).split("</svg>")[0] + "</svg>"
        )
        space = {"s": "http://www.w3.org/2000/svg"}
        assert len(wide.findall(".//s:circle", space)) == 3
        assert len(wide.findall(".//s:polygon", space)) == 2
        assert {link.get("href") for link in wide.findall(".//s:a", space)} == {"#cluster-1", "#cluster-2"}
        assert wide.find("s:title", space).text == "Where?"
        assert "Cluster 1: 2 images" in wide.find("s:desc", space).text

    @pytest.mark.parametrize("points", [[(0.0, 0.0)], [(1.0, 1.0)] * 3, [(0.0, 0.0), (1e9, 0.0)]])
    def test_of_points_without_extent_stays_in_the_frame(self, points):
        drawn = str(plot_clouds([Cloud("one", points, "one")], "t", ("x", "y"), "p"))
        for width, part in zip((720, 340), drawn.split("</svg>"), strict=False):
            for at in re.findall(r'cx="([\d.]+)"', part):
                assert 0 <= float(at) <= width


class TestThePage:
    def test_has_a_contact_sheet_where_each_link_leads(self, run):
        page = draw_page(run.result, SavedRun(run.folder).arrays, "html").decode()
        links = set(re.findall(r'href="#(cluster-\d+)"', page))
        assert len(links) == len(run.result.discovery.embedding.clusters)
        for link in links:
            assert f'id="{link}"' in page

    def test_its_pictures_are_of_the_data(self, run):
        assert not [key for key in run.result.made_up if key.startswith("cluster")]
