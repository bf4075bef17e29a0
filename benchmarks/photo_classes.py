"""A folder of photographs in ten classes, from one photograph each of many ImageNet classes.

    python benchmarks/photo_classes.py PHOTOS OUT

PHOTOS holds files like n01530575_brambling.JPEG (github EliSchwartz/imagenet-sample-images). OUT
gets a folder for each of ten everyday classes with copies of those that are in one; others are left
out.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

CLASSES = {
    "bird": "brambling bulbul water_ouzel ruffed_grouse macaw bee_eater red-breasted_merganser "
    "American_coot redshank king_penguin",
    "clothing": "backpack bikini bonnet cardigan crash_helmet cuirass gasmask lab_coat mitten "
    "snorkel",
    "device": "dial_telephone iPod loudspeaker microwave monitor radiator screen toaster",
    "dog": "Pekinese Afghan_hound Walker_hound Staffordshire_bullterrier Irish_terrier "
    "Dandie_Dinmont Lhasa Chesapeake_Bay_retriever clumber schipperke kelpie Bouvier_des_Flandres "
    "Greater_Swiss_Mountain_dog Great_Dane affenpinscher Newfoundland keeshond",
    "food or plant": "guacamole ice_lolly head_cabbage artichoke lemon potpie hay daisy buckeye "
    "hen-of-the-woods",
    "invertebrate": "black_widow fiddler_crab hermit_crab leaf_beetle fly walking_stick leafhopper "
    "ringlet lycaenid",
    "other mammal": "wombat red_wolf red_fox Persian_cat leopard cheetah mongoose hare hog bison "
    "gazelle otter gorilla guenon langur Madagascar_cat lesser_panda dugong",
    "reptile or amphibian": "European_fire_salamander tree_frog whiptail African_crocodile "
    "water_snake sea_snake",
    "vehicle": "amphibian catamaran convertible freight_car gondola motor_scooter pirate "
    "police_van speedboat tow_truck trimaran warplane",
    "vessel": "beer_bottle bucket caldron cocktail_shaker saltshaker soup_bowl teapot vase "
    "whiskey_jug",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    files = {p.stem.partition("_")[2]: p for p in sorted(options.photos.iterdir())}
    for name, words in CLASSES.items():
        (options.out / name).mkdir(parents=True)
        for word in words.split():
            shutil.copy(files[word], options.out / name / files[word].name)


if __name__ == "__main__":
    main()
